"""The search, on scripted systems whose capacity is known."""

import random

import pytest

from perfchaos.workload.capacity import Breach, Capacity, SearchPlan, Step, find_capacity


class System:
    """Breaks above its capacity; `flukes` makes sound steps break now and then."""

    def __init__(self, capacity_per_s: float, *, flukes: float = 0.0, noise: float = 0.0) -> None:
        self.capacity_per_s = capacity_per_s
        self.spent_s = 0.0
        self._flukes, self._noise = flukes, noise
        self._random = random.Random(5)

    def __call__(self, rate_per_s: float, duration_s: float) -> Step:
        self.spent_s += duration_s
        edge = self.capacity_per_s * (1 + self._noise * self._random.uniform(-1, 1))
        broken = rate_per_s > edge or self._random.random() < self._flukes
        breach = Breach(promise="p99<500ms", value=900.0, first_s=1)
        return Step(
            rate_per_s=rate_per_s,
            duration_s=duration_s,
            latency_p99_ms=900.0 if broken else 20.0,
            error_ratio=0.0,
            breaches=(breach,) if broken else (),
        )


def held(found: Capacity) -> float:
    assert found.held_per_s is not None
    return found.held_per_s


@pytest.mark.parametrize("capacity_per_s", [1.5, 3, 49, 50, 51, 399, 500, 3210, 25_000])
def test_the_capacity_is_found_within_the_precision(capacity_per_s: float) -> None:
    found = find_capacity(System(capacity_per_s), SearchPlan())
    assert held(found) <= capacity_per_s
    assert found.broke_per_s is not None
    assert capacity_per_s < found.broke_per_s <= held(found) * 1.04 * 1.0001


@pytest.mark.parametrize("capacity_per_s", [60, 399, 500, 3210, 25_000])
def test_the_default_search_ends_within_three_minutes(capacity_per_s: float) -> None:
    system = System(capacity_per_s)
    find_capacity(system, SearchPlan())
    assert system.spent_s <= 170


def test_noise_of_two_percent_moves_the_answer_by_less_than_five() -> None:
    for attempt in range(20):
        system = System(500.0 + attempt, noise=0.02)
        assert held(find_capacity(system, SearchPlan())) == pytest.approx(500 + attempt, rel=0.05)


def test_one_stall_does_not_halve_the_answer() -> None:
    stalls = iter([False, True])

    def run_step(rate_per_s: float, duration_s: float) -> Step:
        step = System(500.0)(rate_per_s, duration_s)
        if next(stalls, False):
            return System(0.0)(rate_per_s, duration_s)
        return step

    assert held(find_capacity(run_step, SearchPlan())) == pytest.approx(500, rel=0.04)


def test_a_rate_that_breaks_only_when_held_long_is_not_the_answer() -> None:
    """Short steps see 600/s; the queue of a long one shows the true 500/s."""

    def run_step(rate_per_s: float, duration_s: float) -> Step:
        return System(600.0 if duration_s < 10 else 560.0)(rate_per_s, duration_s)

    found = find_capacity(run_step, SearchPlan())
    assert held(found) <= 560
    assert found.broke_per_s is not None
    assert 560 < found.broke_per_s <= 600


@pytest.mark.parametrize("long_per_s", [450.0, 590.0, 100.0, 2.0])
def test_holds_that_break_go_down_until_one_holds(long_per_s: float) -> None:
    def run_step(rate_per_s: float, duration_s: float) -> Step:
        return System(600.0 if duration_s < 10 else long_per_s)(rate_per_s, duration_s)

    found = find_capacity(run_step, SearchPlan())
    assert long_per_s / 1.0401 <= held(found) <= long_per_s
    assert found.broke_per_s is not None
    assert long_per_s < found.broke_per_s <= held(found) * 1.0401


def test_what_held_and_what_broke_is_always_said() -> None:
    found = find_capacity(System(800.0), SearchPlan())
    assert held(found) == 800.0
    assert found.in_words().startswith("≥ 800/s held, broke at 8")
    assert found.in_words().endswith("p99<500ms first")


def test_what_held_for_short_steps_only_is_said_too() -> None:
    def run_step(rate_per_s: float, duration_s: float) -> Step:
        return System(800.0 if duration_s < 10 else 0.0)(rate_per_s, duration_s)

    found = find_capacity(run_step, SearchPlan())
    assert found.held_per_s is None
    assert "800/s held for a short step" in found.in_words()


def test_a_system_that_never_holds_has_no_capacity() -> None:
    found = find_capacity(System(0.0), SearchPlan())
    assert found.held_per_s is None
    assert found.broke_per_s is not None
    assert found.first_breach is not None


def test_a_system_beyond_the_search_has_at_least_its_greatest_rate() -> None:
    found = find_capacity(System(1e9), SearchPlan(max_per_s=700.0))
    assert found.held_per_s == 700.0
    assert found.broke_per_s is None
    assert found.generator_limit == ()


def test_a_generator_that_falls_behind_ends_the_search_and_is_not_the_targets_limit() -> None:
    def run_step(rate_per_s: float, duration_s: float) -> Step:
        behind = ("too slow",) if rate_per_s > 300 else ()
        return Step(
            rate_per_s=rate_per_s,
            duration_s=duration_s,
            latency_p99_ms=1.0,
            error_ratio=0.0,
            breaches=(),
            unsound=behind,
        )

    found = find_capacity(run_step, SearchPlan())
    assert 280 < held(found) <= 300
    assert found.broke_per_s is None
    assert found.generator_limit == ("too slow",)


def test_what_broke_first_is_that_of_the_lowest_broken_rate() -> None:
    def run_step(rate_per_s: float, duration_s: float) -> Step:
        names = [
            name for name, edge in (("errors", 100.0), ("latency", 900.0)) if rate_per_s > edge
        ]
        breaches = tuple(Breach(promise=name, value=1.0, first_s=0) for name in names)
        return Step(
            rate_per_s=rate_per_s,
            duration_s=duration_s,
            latency_p99_ms=1.0,
            error_ratio=0.0,
            breaches=breaches,
        )

    found = find_capacity(run_step, SearchPlan())
    assert found.first_breach is not None
    assert found.first_breach.promise == "errors"
    assert found.broke_per_s == min(s.rate_per_s for s in found.steps if s.breaches)


@pytest.mark.parametrize(
    "plan",
    [
        SearchPlan(start_per_s=0.0),
        SearchPlan(start_per_s=0.5),
        SearchPlan(start_per_s=100.0, max_per_s=50.0),
        SearchPlan(max_per_s=1e9),
        SearchPlan(max_per_s=float("nan")),
        SearchPlan(precision_ratio=0.0),
        SearchPlan(step_s=0.5),
        SearchPlan(hold_s=float("nan")),
    ],
)
def test_searches_that_make_no_sense_are_named(plan: SearchPlan) -> None:
    assert len(plan.mistakes()) == 1
