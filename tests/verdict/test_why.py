"""What was not measured says why, and how much would have been needed."""

import math
from collections.abc import Mapping

import pytest

from perfchaos.timeline import Fact, Phase
from perfchaos.verdict import Band, Better, Limits, Measurement, judge


def measured(
    value: float | None,
    samples: int,
    evidence: Mapping[str, Fact] | None = None,
    *,
    unit: str = "ratio",
    lower_bound: bool = False,
) -> Measurement:
    return Measurement(
        name="x",
        phase=Phase.OUTAGE,
        value=value,
        unit=unit,
        samples=samples,
        evidence=evidence or {},
        lower_bound=lower_bound,
    )


ERRORS = Limits(better=Better.LOWER, excellent=0, good=0.01, warn=0.2)
SEEN = {"seen: HTTP 401": 390, "seen: timeout": 10, "acked": 0}


@pytest.mark.parametrize(
    ("measurement", "limits", "band", "why"),
    [
        (measured(0.0, 400), ERRORS, Band.EXCELLENT, None),
        (measured(0.5, 2), ERRORS, Band.CRITICAL, None),
        (measured(0.0, 13), ERRORS, Band.UNKNOWN, "13 of 14 samples"),
        (measured(0.0, 160), ERRORS, Band.WARN, "160 of the 299 samples that excellent takes"),
        (
            measured(0.0, 160),
            Limits(better=Better.LOWER, warn=0.01, samples_min=200),
            Band.UNKNOWN,
            "160 of 200 samples",
        ),
        (
            measured(0.0, 20),
            Limits(better=Better.LOWER, good=0.001),
            Band.UNKNOWN,
            "20 of 2,995 samples",
        ),
        (measured(None, 0), ERRORS, Band.UNKNOWN, "there are no samples"),
        (measured(math.nan, 9), ERRORS, Band.UNKNOWN, "it could not be told"),
        (
            measured(None, 0, {"why": "no such container"}),
            ERRORS,
            Band.UNKNOWN,
            "no such container",
        ),
        (measured(None, 0, SEEN, unit="ms"), ERRORS, Band.UNKNOWN, "HTTP 401: 390 of 400"),
        (
            measured(25.0, 9, unit="s", lower_bound=True),
            Limits(better=Better.LOWER, good=30),
            Band.UNKNOWN,
            "it may be more: it was not watched for longer",
        ),
        (
            measured(25.0, 9, unit="s", lower_bound=True),
            Limits(better=Better.LOWER, good=20),
            Band.CRITICAL,
            None,
        ),
    ],
)
def test_what_is_unknown_or_unproven_says_why(
    measurement: Measurement, limits: Limits, band: Band, why: str | None
) -> None:
    judgement = judge(measurement, limits)
    assert (judgement.band, judgement.why) == (band, why)
