"""Bands: their order, and the worst of several."""

import itertools

import pytest

from perfchaos.verdict import Band, worst


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
