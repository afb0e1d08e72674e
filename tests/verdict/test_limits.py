"""Limits: which band a value falls in, and which limits are refused."""

import math

import pytest

from perfchaos.errors import InvalidInput
from perfchaos.verdict import Band, Better, Limits
from perfchaos.verdict.limits import samples_to_prove

ERROR_RATIO = Limits(better=Better.LOWER, excellent=0.0, good=0.01, warn=0.2)
RPS = Limits(better=Better.HIGHER, excellent=1000, good=500, warn=100)
SUCCESS = Limits(better=Better.HIGHER, excellent=0.99, good=0.95)


@pytest.mark.parametrize(
    ("limits", "value", "band"),
    [
        (ERROR_RATIO, 0.0, Band.EXCELLENT),
        (ERROR_RATIO, math.nextafter(0.0, 1.0), Band.GOOD),
        (ERROR_RATIO, 0.01, Band.GOOD),
        (ERROR_RATIO, math.nextafter(0.01, 1.0), Band.WARN),
        (ERROR_RATIO, 0.2, Band.WARN),
        (ERROR_RATIO, math.nextafter(0.2, 1.0), Band.CRITICAL),
        (RPS, 1000, Band.EXCELLENT),
        (RPS, math.nextafter(1000, 0), Band.GOOD),
        (RPS, 500, Band.GOOD),
        (RPS, math.nextafter(500, 0), Band.WARN),
        (RPS, 100, Band.WARN),
        (RPS, math.nextafter(100, 0), Band.CRITICAL),
        (SUCCESS, 0.95, Band.GOOD),
        (SUCCESS, math.nextafter(0.95, 0), Band.CRITICAL),
        (ERROR_RATIO, math.inf, Band.CRITICAL),
    ],
)
def test_equality_belongs_to_the_better_band(limits: Limits, value: float, band: Band) -> None:
    assert limits.judge(value, samples=1) is band


@pytest.mark.parametrize("value", [None, math.nan])
def test_no_value_is_unknown(value: float | None) -> None:
    assert ERROR_RATIO.judge(value, samples=1000) is Band.UNKNOWN


@pytest.mark.parametrize(
    ("samples", "band"), [(0, Band.UNKNOWN), (99, Band.UNKNOWN), (100, Band.EXCELLENT)]
)
def test_too_few_samples_prove_nothing(samples: int, band: Band) -> None:
    limits = Limits(better=Better.LOWER, excellent=0.0, samples_min=100)
    assert limits.judge(0.0, samples=samples) is band


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [
        ({"better": Better.LOWER}, "none of excellent, good and warn"),
        ({"better": Better.LOWER, "good": 2, "warn": 1}, "from strict to lenient"),
        ({"better": Better.HIGHER, "good": 1, "warn": 2}, "from strict to lenient"),
        ({"better": Better.LOWER, "good": math.nan}, "not a finite number"),
        ({"better": Better.LOWER, "good": "1"}, "not a finite number"),
        ({"better": Better.LOWER, "good": True}, "not a finite number"),
        ({"better": Better.LOWER, "good": 1, "samples_min": 0}, "no data would pass"),
        ({"better": Better.LOWER, "good": 1, "samples_min": "9"}, "not a whole number"),
    ],
)
def test_limits_that_cannot_judge_are_refused(arguments: dict[str, object], mistake: str) -> None:
    with pytest.raises(InvalidInput, match=mistake):
        Limits(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("allowed_ratio", "count"), [(0.01, 299), (0.001, 2995), (0.05, 59), (0.2, 14), (1.0, 1)]
)
def test_so_many_samples_prove_a_limit(allowed_ratio: float, count: int) -> None:
    assert samples_to_prove(allowed_ratio) == count
    if allowed_ratio < 1:
        assert (1 - allowed_ratio) ** count <= 0.05 < (1 - allowed_ratio) ** (count - 1)


@pytest.mark.parametrize(
    ("limits", "value", "samples", "band"),
    [
        ({"good": 0.001}, 0.0, 20, Band.UNKNOWN),
        ({"good": 0.001}, 0.0, 2994, Band.UNKNOWN),
        ({"good": 0.001}, 0.0, 2995, Band.GOOD),
        ({"excellent": 0, "good": 0.01, "warn": 0.2}, 0.0, 13, Band.UNKNOWN),
        ({"excellent": 0, "good": 0.01, "warn": 0.2}, 0.0, 14, Band.WARN),
        ({"excellent": 0, "good": 0.01, "warn": 0.2}, 0.0, 298, Band.WARN),
        ({"excellent": 0, "good": 0.01, "warn": 0.2}, 0.0, 299, Band.EXCELLENT),
        ({"excellent": 0}, 0.0, 298, Band.UNKNOWN),
        ({"excellent": 0}, 0.0, 299, Band.EXCELLENT),
        ({"good": 0.01}, 0.02, 50, Band.CRITICAL),
        ({"good": 0.001, "samples_min": 20}, 0.0, 20, Band.UNKNOWN),
        ({"good": 0.001, "warn": 0.01, "samples_min": 20}, 0.0, 19, Band.UNKNOWN),
        ({"good": 0.001, "warn": 0.01, "samples_min": 20}, 0.0, 20, Band.WARN),
        ({"good": 0.001, "warn": 0.01, "samples_min": 20}, 0.0, 2994, Band.WARN),
        ({"good": 0.001, "warn": 0.01, "samples_min": 20}, 0.0, 2995, Band.GOOD),
        ({"good": 0.2, "samples_min": 20}, 0.0, 19, Band.UNKNOWN),
        ({"good": 1.0}, 0.5, 1, Band.GOOD),
    ],
)
def test_a_share_is_in_the_best_band_that_its_samples_can_prove(
    limits: dict[str, float], value: float, samples: int, band: Band
) -> None:
    upper = Limits(better=Better.LOWER, **limits)  # type: ignore[arg-type]
    assert upper.judge(value, samples=samples, share=True) is band
    count = limits.get("samples_min")
    mirrored = {name: 1 - limit for name, limit in limits.items() if name != "samples_min"}
    lower = Limits(better=Better.HIGHER, samples_min=count, **mirrored)  # type: ignore[arg-type]
    assert lower.judge(1 - value, samples=samples, share=True) is band


def test_what_is_no_share_needs_one_sample_unless_more_are_asked_for() -> None:
    assert Limits(better=Better.LOWER, good=500).judge(20.0, samples=1) is Band.GOOD
