"""The interval of a ratio: published examples, its edges, its coverage, and clustered failures."""

import numpy as np
import pytest

from perfchaos.measure.intervals import Clusters, ratio_interval


def one(successes: int, trials: int) -> Clusters:
    """Everything in one cluster: plain binomial counts."""
    return Clusters(trials=np.array([trials]), successes=np.array([successes]))


def test_the_example_of_koopmans_paper() -> None:
    # 36 of 40 over 16 of 80, as Koopman (1984) works it out.
    assert ratio_interval(one(36, 40), one(16, 80)) == pytest.approx((2.94, 7.15), abs=0.005)


def test_no_failure_at_all_still_leaves_doubt() -> None:
    low, high = ratio_interval(one(300, 300), one(300, 300)) or (0, 0)
    assert 0.98 < low < 1 < high < 1.02


def test_no_success_leaves_doubt_to_one_side() -> None:
    low, high = ratio_interval(one(0, 300), one(300, 300)) or (1, 1)
    assert low == 0
    assert 0 < high < 0.02


def test_nothing_to_compare_with_has_no_interval() -> None:
    assert ratio_interval(one(10, 10), one(0, 10)) is None
    assert ratio_interval(one(0, 0), one(10, 10)) is None


def test_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    random = np.random.default_rng(seed=5)
    now, usual = random.binomial(600, 0.72, 400), random.binomial(400, 0.96, 400)
    intervals = [
        ratio_interval(one(int(x), 600), one(int(y), 400)) or (0, 0)
        for x, y in zip(now, usual, strict=True)
    ]
    held = sum(low <= 0.75 <= high for low, high in intervals)
    assert 0.92 <= held / 400 <= 0.98


def test_failures_in_bursts_widen_the_interval() -> None:
    trials = np.full(20, 150)
    scattered = Clusters(trials=trials, successes=np.full(20, 120))
    bursts = Clusters(trials=trials, successes=np.array([0] * 4 + [150] * 16))
    usual = one(1200, 1200)
    assert bursts.proportion == scattered.proportion == 0.8
    assert scattered.design_effect == 1
    assert bursts.design_effect > 100
    low, high = ratio_interval(bursts, usual) or (0, 0)
    narrow_low, narrow_high = ratio_interval(scattered, usual) or (0, 0)
    assert low < narrow_low < 0.8 < narrow_high < high


def test_independent_failures_have_hardly_a_design_effect() -> None:
    random = np.random.default_rng(seed=7)
    effects = [
        Clusters(trials=np.full(20, 150), successes=random.binomial(150, 0.8, 20)).design_effect
        for _ in range(100)
    ]
    assert np.mean(effects) < 1.3
