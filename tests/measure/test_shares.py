"""Counts against shares, at the boundary and beside it."""

from fractions import Fraction

import numpy as np
import pytest

from perfchaos.measure.shares import failures_allowed, reaches


@pytest.mark.parametrize(
    ("share", "total", "allowed"),
    [(0.9, 50, 5), (0.999, 1000, 1), (0.999, 999, 0), (0.95, 200, 10), (0.99, 318, 3), (1, 9, 0)],
)
def test_equality_keeps_the_share(share: float, total: int, allowed: int) -> None:
    assert failures_allowed(total, share) == allowed
    assert reaches(total - allowed, total, share)
    assert not reaches(total - allowed - 1, total, share)


def test_no_total_is_judged_otherwise_than_by_exact_arithmetic() -> None:
    totals = np.arange(0, 20_000)
    for thousandths in (1, 50, 333, 500, 700, 900, 950, 990, 999, 1000):
        share = Fraction(thousandths, 1000)
        exact = [int((1 - share) * int(total)) for total in totals]
        assert failures_allowed(totals, float(share)).tolist() == exact
