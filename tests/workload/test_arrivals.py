import math
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfchaos.workload.arrivals import RATE_MAX_PER_S, Arrivals, Stage, offsets_ns
from perfchaos.workload.scenarios import SCENARIOS

RATES = st.floats(0.5, 1000)
DURATIONS = st.floats(0.05, 2)
STAGES = st.builds(Stage, duration_s=DURATIONS, start_per_s=RATES, end_per_s=RATES)


def first(arrivals: Arrivals, count: int, seed: int = 1) -> list[int]:
    return list(islice(offsets_ns(arrivals, seed=seed), count))


def stage(duration_s: float | None, start_per_s: float, end_per_s: float) -> Stage:
    return Stage(duration_s=duration_s, start_per_s=start_per_s, end_per_s=end_per_s)


def test_a_constant_rate_is_evenly_spaced_and_does_not_drift() -> None:
    offsets = first(Arrivals.constant(1000.0), 100_001)
    assert offsets[:3] == [0, 1_000_000, 2_000_000]
    assert offsets[100_000] == 100 * 10**9


def test_an_unbounded_plan_has_no_end() -> None:
    assert len(first(Arrivals.constant(7.0, poisson=True), 5000)) == 5000


def test_a_ramp_reaches_half_of_its_mean_late() -> None:
    """Rate 0 to 100/s in 2 s: the area is t²*25, so arrival k is due at sqrt(k/25)."""
    offsets = first(Arrivals(stages=(stage(2.0, 0.0, 100.0),)), 1000)
    assert len(offsets) == 100
    assert offsets[25] == pytest.approx(1e9, abs=2)
    assert offsets[99] == pytest.approx(math.sqrt(99 / 25) * 1e9, abs=2)


def test_a_ramp_down_to_nothing_ends_with_its_stage() -> None:
    offsets = first(Arrivals(stages=(stage(2.0, 100.0, 0.0),)), 1000)
    assert len(offsets) == 100
    assert max(offsets) < 2e9


def test_a_stage_without_arrivals_is_a_pause() -> None:
    offsets = first(Arrivals(stages=(stage(1.0, 0, 0), stage(1.0, 10, 10))), 100)
    assert offsets[0] == 10**9
    assert len(offsets) == 10


@settings(max_examples=30, deadline=None)
@given(stages=st.lists(STAGES, min_size=1, max_size=4), poisson=st.booleans(), seed=st.integers(0))
def test_offsets_ascend_and_stay_within_the_stages(
    stages: list[Stage], poisson: bool, seed: int
) -> None:
    arrivals = Arrivals(stages=tuple(stages), poisson=poisson)
    offsets = first(arrivals, 20_000, seed)
    assert offsets == sorted(offsets)
    assert arrivals.duration_s is not None
    assert all(0 <= offset <= arrivals.duration_s * 1e9 for offset in offsets)
    assert offsets == first(arrivals, 20_000, seed)


@settings(max_examples=30, deadline=None)
@given(stages=st.lists(STAGES, min_size=1, max_size=4))
def test_as_many_arrive_as_the_area_under_the_rate(stages: list[Stage]) -> None:
    area = sum((s.start_per_s + s.end_per_s) / 2 * (s.duration_s or 0) for s in stages)
    assert abs(len(first(Arrivals(stages=tuple(stages)), 50_000)) - area) <= 1


def test_poisson_gaps_have_the_mean_and_spread_of_an_exponential() -> None:
    offsets = first(Arrivals.constant(1000.0, poisson=True), 20_000)
    gaps = [b - a for a, b in pairwise(offsets)]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert mean == pytest.approx(1e6, rel=0.03)
    assert deviation == pytest.approx(mean, rel=0.05)


def test_the_seed_decides_the_pattern() -> None:
    poisson = Arrivals.constant(100.0, poisson=True)
    assert first(poisson, 50, seed=1) == first(poisson, 50, seed=1) != first(poisson, 50, seed=2)


@pytest.mark.parametrize(
    ("stages", "mistake"),
    [
        ((), "at least one stage"),
        ((stage(1.0, -1.0, 1.0),), "between 0"),
        ((stage(1.0, 1.0, math.inf),), "between 0"),
        ((stage(1.0, math.nan, 1.0),), "between 0"),
        ((stage(None, 1.0, RATE_MAX_PER_S * 1.01),), "between 0"),
        ((stage(0.0, 1.0, 1.0),), "not positive"),
        ((stage(math.inf, 1.0, 1.0),), "not positive"),
        ((stage(None, 1.0, 1.0), stage(1.0, 1.0, 1.0)), "only the last"),
        ((stage(None, 1.0, 2.0),), "a ramp needs"),
        ((stage(1.0, 0.0, 0.0),), "above 0"),
    ],
)
def test_shapes_that_make_no_sense_are_named(stages: tuple[Stage, ...], mistake: str) -> None:
    assert any(mistake in found for found in Arrivals(stages=stages).mistakes())


def test_the_greatest_rate_is_still_allowed() -> None:
    assert Arrivals.constant(RATE_MAX_PER_S).mistakes() == []


def test_the_scenarios_are_sound_and_ordered_by_their_peak() -> None:
    assert list(SCENARIOS) == ["light", "moderate", "heavy", "stress"]
    assert all(shape.mistakes() == [] for shape in SCENARIOS.values())
    peaks = [max(s.end_per_s for s in shape.stages) for shape in SCENARIOS.values()]
    assert peaks == sorted(peaks)


def test_a_stage_that_sends_nothing_for_ever_is_refused() -> None:
    ramp = Stage(duration_s=1.0, start_per_s=10.0, end_per_s=0.0)
    quiet = Stage(duration_s=None, start_per_s=0.0, end_per_s=0.0)
    assert "needs a rate above 0" in " ".join(Arrivals(stages=(ramp, quiet)).mistakes())
