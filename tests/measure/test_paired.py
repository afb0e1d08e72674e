"""The interval of a paired difference."""

import pytest

from perfchaos.measure.paired import difference


def test_interval_is_student_s() -> None:
    # Differences 1, 2, 3, 4, 5: mean 3, standard error sqrt(2.5 / 5), t(4) = 2.776.
    found = difference([(0, 1), (10, 12), (5, 8), (1, 5), (2, 7)])
    assert found is not None
    assert found.mean == pytest.approx(3)
    assert found.high - found.mean == pytest.approx(2.776 * 0.5**0.5)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


def test_what_both_of_a_pair_suffer_from_does_not_widen_the_interval() -> None:
    found = difference([(1, 2), (100, 101), (10, 11)])
    assert found is not None
    assert (found.low, found.mean, found.high) == (1, 1, 1)


@pytest.mark.parametrize("pairs", [[], [(1.0, 2.0)]])
def test_fewer_than_two_pairs_tell_no_interval(pairs: list[tuple[float, float]]) -> None:
    assert difference(pairs) is None


def test_more_pairs_than_the_table_knows_keep_its_last_quantile() -> None:
    found = difference([(0.0, float(n % 2)) for n in range(100)])
    assert found is not None
    assert found.high - found.mean == pytest.approx(2.042 * 0.502519 / 10, rel=1e-4)
