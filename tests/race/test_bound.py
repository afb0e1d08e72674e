"""Exact bounds: held against whole-number arithmetic, and against published values."""

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfchaos.race.bound import interval, upper_bound


@pytest.mark.parametrize("total", [1, 20, 59, 300, 3_000, 100_000])
def test_nothing_seen_is_the_closed_form(total: int) -> None:
    assert upper_bound(0, total) == pytest.approx(1 - 0.05 ** (1 / total), rel=1e-12)


def test_fifty_nine_without_one_exclude_a_rate_of_five_percent() -> None:
    assert upper_bound(0, 58) > 0.05 > upper_bound(0, 59)


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    # The two-sided 95 % limits as tables of the binomial distribution give them.
    [(1, 10, 0.0025, 0.4450), (5, 10, 0.1871, 0.8129), (10, 100, 0.0490, 0.1762)],
)
def test_the_interval_is_the_published_one(count: int, total: int, low: float, high: float) -> None:
    assert interval(count, total) == pytest.approx((low, high), abs=5e-5)


@settings(deadline=None)
@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))))
def test_at_the_bound_so_few_are_just_as_unlikely_as_the_confidence_says(
    counted: tuple[int, int],
) -> None:
    count, total = counted
    rate = Fraction(upper_bound(count, total))
    tail = sum(comb(total, k) * rate**k * (1 - rate) ** (total - k) for k in range(count + 1))
    assert float(tail) == pytest.approx(0.05, rel=1e-6)


@settings(deadline=None)
@given(st.integers(0, 100), st.integers(0, 100))
def test_the_interval_is_the_same_from_the_other_side(one: int, other: int) -> None:
    low, high = interval(one, one + other)
    assert interval(other, one + other) == pytest.approx((1 - high, 1 - low))
    assert 0 <= low <= high <= 1


def test_nothing_at_all_excludes_nothing() -> None:
    assert upper_bound(0, 0) == 1.0
    assert interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("count", "total"), [(-1, 3), (4, 3)])
def test_what_cannot_be_counted_is_an_error(count: int, total: int) -> None:
    with pytest.raises(ValueError, match=f"{count} of {total}"):
        upper_bound(count, total)
