"""Bands: their order, and the worst of several."""

import itertools

import pytest

from perfchaos.verdict import Band, Better, Limits, Measurement, judge, worst


def test_worst_of_nothing_is_unknown() -> None:
    assert worst([]) is Band.UNKNOWN


def test_bands_are_ordered_from_excellent_to_critical_with_unknown_before_critical() -> None:
    ordered = [Band.EXCELLENT, Band.GOOD, Band.WARN, Band.UNKNOWN, Band.CRITICAL]
    for better, worse in itertools.combinations(ordered, 2):
        assert worst([better, worse]) is worse
        assert worst([worse, better]) is worse


@pytest.mark.parametrize(
    ("band", "passes"),
    [
        (Band.EXCELLENT, True),
        (Band.GOOD, True),
        (Band.WARN, True),
        (Band.UNKNOWN, False),
        (Band.CRITICAL, False),
    ],
)
def test_unknown_does_not_pass(band: Band, passes: bool) -> None:
    assert band.passes is passes


@pytest.mark.parametrize(
    ("value", "lower_bound", "band"),
    [
        (50.0, False, Band.CRITICAL),
        (50.0, True, Band.GOOD),
        (300.0, True, Band.GOOD),
        (1200.0, True, Band.EXCELLENT),
        (None, True, Band.UNKNOWN),
    ],
)
def test_a_lower_bound_breaks_no_lower_limit(
    value: float | None, lower_bound: bool, band: Band
) -> None:
    measurement = Measurement(
        name="sustained_per_s",
        phase=None,
        value=value,
        unit="1/s",
        samples=100,
        lower_bound=lower_bound,
    )
    limits = Limits(better=Better.HIGHER, excellent=1000, good=500, warn=100)
    assert judge(measurement, limits).band is band


@pytest.mark.parametrize(
    ("value", "band"), [(10.0, Band.UNKNOWN), (900.0, Band.UNKNOWN), (901.0, Band.CRITICAL)]
)
def test_a_lower_bound_keeps_no_upper_limit_and_may_break_it(value: float, band: Band) -> None:
    measurement = Measurement(
        name="time_to_drain_s", phase=None, value=value, unit="s", samples=9, lower_bound=True
    )
    assert judge(measurement, Limits(better=Better.LOWER, good=500, warn=900)).band is band
