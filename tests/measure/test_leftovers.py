"""What an outage leaves behind, on literal looks."""

from collections.abc import Callable, Sequence

import pytest

from perfchaos.measure.leftovers import Census, left_behind
from perfchaos.timeline import Phase, Span
from perfchaos.verdict import Measurement

S = 1_000_000_000

type Seen = tuple[int, Sequence[float]]
"""How many are connected, and for how long some have not been used."""


def spans(*outages: tuple[float, float], end_s: float = 60) -> tuple[Span, ...]:
    """A baseline from 0 s on, and outages with the recovery after each."""
    edges = [(0.0, Phase.BASELINE)]
    for from_s, to_s in outages:
        edges += [(from_s, Phase.OUTAGE), (to_s, Phase.RECOVERY)]
    ends = [at_s for at_s, _ in edges[1:]] + [end_s]
    return tuple(
        Span(phase=phase, start_ns=round(from_s * S), end_ns=round(to_s * S))
        for (from_s, phase), to_s in zip(edges, ends, strict=True)
    )


def left(
    seen: Callable[[float], Seen | None],
    lived: Sequence[Span],
    *,
    settled_s: float = 3,
    every_s: float = 0.1,
) -> Measurement:
    looks = []
    for step in range(round(70 / every_s)):
        found = seen(step * every_s)
        if found is not None:
            count, unused_s = found
            at_ns = round(step * every_s * S)
            looks.append(Census(at_ns=at_ns, count=count, unused_s=tuple(unused_s)))
    return left_behind(
        looks,
        lived,
        name="sessions_left_count",
        unit="sessions",
        settled_s=settled_s,
        now_ns=60 * S,
    )


ONE = spans((10, 20), end_s=40)


def test_what_was_there_before_is_not_left_behind() -> None:
    found = left(lambda _: (30, [100.0] * 30), ONE)
    assert (found.value, found.phase) == (0, Phase.RECOVERY)


@pytest.mark.parametrize("outage_s", [3, 10])
@pytest.mark.parametrize("count", [1, 5, 40])
def test_what_came_in_the_outage_and_nobody_uses_is_left_behind(
    outage_s: float, count: int
) -> None:
    def seen(at_s: float) -> Seen:
        if at_s < 10:
            return 30, []
        return 30 + count, [at_s - 10] * count

    found = left(seen, spans((10, 10 + outage_s), end_s=40))
    assert found.value == count
    assert (found.evidence["before"], found.evidence["after"]) == (30, 30 + count)


def test_a_pool_that_has_grown_and_uses_what_it_has_leaves_nothing() -> None:
    assert left(lambda at_s: (30, []) if at_s < 12 else (50, [2.9, 1.1]), ONE).value == 0
    assert left(lambda at_s: (30, []) if at_s < 12 else (50, [3.1, 3.0, 2.9]), ONE).value == 2


def test_what_is_closed_in_the_end_is_not_left_behind() -> None:
    def seen(at_s: float) -> Seen:
        return (40, [at_s - 10] * 10) if 10 <= at_s < 38 else (30, [])

    assert left(seen, ONE).value == 0


def test_a_single_look_with_fewer_or_more_decides_nothing() -> None:
    def seen(at_s: float) -> Seen:
        more = at_s >= 10
        flicker = 3 if round(at_s * 10) % 7 == 0 else 0
        return 30 + 5 * more + flicker, [at_s - 10] * (5 * more)

    assert left(seen, ONE).value == 2  # Against the most there were before.
    assert left(lambda at_s: (30 + 5 * (at_s >= 10), [9.0] * 5 * (at_s >= 10)), ONE).value == 5


def test_several_outages_add_up() -> None:
    def seen(at_s: float) -> Seen:
        count = 5 * sum(at_s >= begun_s for begun_s in (10, 25, 40))
        return 30 + count, [9.0] * count

    found = left(seen, spans((10, 15), (25, 30), (40, 45)))
    assert found.value == 15
    assert found.evidence["after_each"] == "35 40 45"


@pytest.mark.parametrize(("settled_s", "known"), [(1.5, True), (2.5, False)])
def test_before_it_has_settled_nothing_is_known(settled_s: float, known: bool) -> None:
    found = left(lambda _: (30, []), spans((10, 20), end_s=22), settled_s=settled_s)
    assert (found.value is not None) is known


def test_what_nobody_uses_after_the_load_has_ended_is_not_counted() -> None:
    def seen(at_s: float) -> Seen:
        return (30, []) if at_s < 12 else (50, [at_s - 40] * 50 if at_s > 40 else [])

    assert left(seen, ONE).value == 0


def test_a_server_that_nobody_could_ask_is_unknown() -> None:
    assert left(lambda _: None, ONE).value is None
    gone = left(lambda at_s: (30, []) if at_s < 10 else None, ONE)
    assert gone.value is None
    assert "3 s after the outage" in str(gone.evidence["why"])


def test_the_healthy_baseline_is_asked_too() -> None:
    baseline = (Span(phase=Phase.BASELINE, start_ns=0, end_ns=None),)
    found = left(lambda _: (30, [7.0]), baseline)
    assert (found.value, found.phase, found.samples) == (0, Phase.BASELINE, 600)
