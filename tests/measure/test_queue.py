"""What the readings of a queue say, on literal histories."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from perfchaos.measure.queue import (
    backlog,
    group_missing,
    stalled_consumers,
    time_to_drain,
    use_ratio,
)
from perfchaos.observe.queue import ConsumerState, QueueReading, QueueState
from perfchaos.timeline import Phase, Span

S = 1_000_000_000
SPANS = (
    Span(phase=Phase.BASELINE, start_ns=0, end_ns=10 * S),
    Span(phase=Phase.OUTAGE, start_ns=10 * S, end_ns=20 * S),
    Span(phase=Phase.RECOVERY, start_ns=20 * S, end_ns=30 * S),
)
BASELINE_ONLY = (Span(phase=Phase.BASELINE, start_ns=0, end_ns=None),)
BUSY = ConsumerState(name="w0", idle_ms=10, inactive_ms=20)
EMPTY = QueueState(
    there=True,
    waiting=0,
    undelivered=0,
    arrived=0,
    taken="0",
    group_there=True,
    consumers=(BUSY,),
)


def history(
    state_at: Callable[[float], QueueState | None], *, until_s: int = 30
) -> tuple[QueueReading, ...]:
    """Four readings a second, by a function of the time in seconds."""
    return tuple(
        QueueReading(at_ns=quarter * S // 4, state=state_at(quarter / 4))
        for quarter in range(until_s * 4)
    )


def waiting(count: float, **changes: object) -> QueueState:
    return replace(EMPTY, waiting=int(count), undelivered=int(count), **changes)  # type: ignore[arg-type]


def test_the_backlog_is_the_peak_of_its_phase() -> None:
    readings = history(lambda at_s: waiting(700 if at_s == 15 else 40))
    assert backlog(readings, SPANS, Phase.BASELINE).value == 40
    outage = backlog(readings, SPANS, Phase.OUTAGE)
    assert outage.value == 700
    assert outage.evidence["peak_at_s"] == 5
    assert outage.evidence["median"] == 40


def test_a_backlog_nobody_could_see_is_unknown() -> None:
    readings = history(lambda at_s: None if 10 <= at_s < 20 else EMPTY)
    outage = backlog(readings, SPANS, Phase.OUTAGE)
    assert outage.value is None
    assert outage.samples == 0
    assert outage.evidence["looks_failed"] == 40


def test_messages_drain_as_fast_as_they_come_while_the_backlog_stays() -> None:
    readings = history(lambda at_s: waiting(50, arrived=round(at_s * 100)))
    evidence = backlog(readings, SPANS, Phase.RECOVERY).evidence
    assert evidence["arrived_per_s"] == pytest.approx(100)
    assert evidence["drained_per_s"] == pytest.approx(100)


def test_a_server_that_started_empty_has_not_drained_what_it_lost() -> None:
    readings = history(
        lambda at_s: waiting(900, arrived=5000) if at_s < 25 else waiting(0, arrived=0)
    )
    evidence = backlog(readings, SPANS, Phase.RECOVERY).evidence
    assert evidence["drained_per_s"] == 0


def test_the_drain_ends_when_no_more_waits_than_in_the_baseline() -> None:
    def state(at_s: float) -> QueueState:
        return waiting(10 if at_s < 10 else 500 if at_s < 20 else max(500 - (at_s - 20) * 100, 0))

    drained = time_to_drain(history(state), SPANS)
    assert drained.value == 5  # 500 down to 10 at a hundred a second, seen a quarter later
    assert drained.evidence["drained_per_s"] == pytest.approx(100)


def test_what_has_not_drained_takes_that_long_at_least_and_its_rest_is_told() -> None:
    readings = history(lambda at_s: waiting(0 if at_s < 10 else 800), until_s=45)
    left = time_to_drain(readings, SPANS)
    assert (left.value, left.lower_bound) == (24.75, True)
    assert left.evidence["waiting_in_the_end"] == 800


def test_a_backlog_that_comes_after_the_heal_and_stays_has_not_drained_at_once() -> None:
    readings = history(lambda at_s: waiting(0 if at_s < 21 else max(30, 900 - (at_s - 21) * 200)))
    left = time_to_drain(readings, SPANS)
    assert (left.value, left.lower_bound) == (9.75, True)


@pytest.mark.parametrize(("until_s", "value"), [(22, 2), (24.5, 4.5)])
def test_the_last_deep_look_counts_and_not_the_first_shallow_one(
    until_s: float, value: float
) -> None:
    readings = history(lambda at_s: waiting(900 if 21 <= at_s < until_s else 0))
    drained = time_to_drain(readings, SPANS)
    assert (drained.value, drained.lower_bound) == (value, False)


@pytest.mark.parametrize("spans", [SPANS, BASELINE_ONLY])
def test_a_baseline_whose_own_queue_grows_is_nothing_to_drain_to(spans: Sequence[Span]) -> None:
    readings = history(
        lambda at_s: waiting(at_s * 40, arrived=round(at_s * 40)),
        until_s=10 if spans is BASELINE_ONLY else 30,
    )
    found = time_to_drain(readings, spans)
    assert found.value is None
    assert "grew all through the baseline" in str(found.evidence["why"])


@pytest.mark.parametrize(
    ("grown_to", "well"), [(2, True), (8, True), (9, False)], ids=["one or two", "2 %", "more"]
)
def test_a_message_that_is_stuck_is_no_growth_and_one_in_fifty_is_the_limit(
    grown_to: int, well: bool
) -> None:
    readings = history(
        lambda at_s: waiting(0 if at_s < 5 else grown_to, arrived=round(at_s * 4) * 11),
        until_s=10,
    )
    assert (time_to_drain(readings, BASELINE_ONLY).value is not None) is well


def test_before_the_first_fault_nothing_is_to_be_drained() -> None:
    found = time_to_drain(history(lambda _: waiting(3), until_s=10), BASELINE_ONLY)
    assert (found.value, found.phase) == (0, Phase.BASELINE)


def test_a_fault_still_in_force_has_not_been_recovered_from() -> None:
    assert time_to_drain(history(lambda _: EMPTY), SPANS[:2]).value is None
    assert group_missing(history(lambda _: EMPTY), SPANS[:2], group="workers").value is None
    assert (
        use_ratio(history(lambda _: EMPTY), SPANS[:2], lambda _a, _b: 100, settled_s=1).value
        is None
    )


def stalled(
    state_at: Callable[[float], QueueState | None], phase: Phase = Phase.RECOVERY
) -> tuple[float | None, object, object]:
    found = stalled_consumers(history(state_at), SPANS, phase, after_s=3)
    return found.value, found.evidence["stalled"], found.evidence["silent"]


def consuming(*consumers: ConsumerState, taken: str = "0") -> QueueState:
    return waiting(800, consumers=consumers, taken=taken)


def test_a_consumer_that_asks_and_gets_nothing_while_work_waits_is_stalled_and_named() -> None:
    def state(at_s: float) -> QueueState:
        if at_s < 20:
            return EMPTY
        return consuming(replace(BUSY, inactive_ms=round((at_s - 10) * 1000)))

    assert stalled(state) == (1, "w0", "")


def test_who_reads_its_own_history_over_and_over_is_stalled() -> None:
    assert stalled(lambda _: consuming(replace(BUSY, inactive_ms=9000, pending=1)))[1] == "w0"


def test_a_stalled_consumer_is_found_beside_one_that_works() -> None:
    def state(at_s: float) -> QueueState:
        idler = ConsumerState(name="w1", idle_ms=10, inactive_ms=round(at_s * 1000))
        return consuming(BUSY, idler, taken=str(at_s))

    assert stalled(state) == (1, "w1", "")


def test_a_stall_is_found_as_soon_as_it_has_lasted() -> None:
    def state(at_s: float) -> QueueState:
        return consuming(BUSY, taken=str(min(at_s, 22.0)))

    found = stalled_consumers(history(state), SPANS, Phase.RECOVERY, after_s=3)
    assert found.evidence["found_after_s"] == 5


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (waiting(0, consumers=(replace(BUSY, inactive_ms=9000),)), "there was nothing to do"),
        (consuming(replace(BUSY, idle_ms=9000, inactive_ms=9000, pending=5)), "it is busy"),
        (consuming(BUSY, taken="moving"), "it works"),
    ],
)
def test_who_has_nothing_to_do_or_something_in_hand_is_not_stalled(
    state: QueueState, why: str
) -> None:
    def at(at_s: float) -> QueueState:
        return replace(state, taken=str(at_s)) if state.taken == "moving" else state

    assert stalled(at) == (0, "", ""), why


def test_work_that_waits_on_and_off_is_no_stall() -> None:
    def state(at_s: float) -> QueueState:
        return consuming(replace(BUSY, inactive_ms=9000)) if at_s % 2 else EMPTY

    assert stalled(state)[0] == 0


def test_a_consumer_that_worked_and_does_not_even_ask_any_more_is_silent() -> None:
    def state(at_s: float) -> QueueState:
        return EMPTY if at_s < 20 else consuming(replace(BUSY, idle_ms=5000, inactive_ms=5000))

    assert stalled(state) == (1, "", "w0")


def test_a_consumer_that_had_left_before_the_run_is_not_missed() -> None:
    gone = ConsumerState(name="last-year", idle_ms=9_000_000, inactive_ms=9_000_000)

    def state(at_s: float) -> QueueState:
        return replace(consuming(BUSY, gone, taken=str(at_s)))

    assert stalled(state) == (0, "", "")


def test_without_any_consumer_the_queue_says_so() -> None:
    assert stalled(lambda _: consuming()) == (1, "", "nobody takes from the queue")


def test_where_redis_keeps_no_account_of_activity_what_is_taken_tells() -> None:
    old = ConsumerState(name="w0", idle_ms=10)
    assert stalled(lambda _: consuming(old)) == (1, "w0", "")
    assert stalled(lambda at_s: consuming(old, taken=str(at_s))) == (0, "", "")


def test_a_phase_shorter_than_the_stretch_tells_nothing() -> None:
    spans = (*SPANS[:2], Span(phase=Phase.RECOVERY, start_ns=20 * S, end_ns=22 * S))
    found = stalled_consumers(history(lambda _: EMPTY), spans, Phase.RECOVERY, after_s=3)
    assert (found.value, found.samples) == (None, 0)


def test_a_group_that_came_back_late_was_missing_until_then() -> None:
    readings = history(lambda at_s: replace(EMPTY, group_there=not 20 <= at_s < 24))
    missing = group_missing(readings, SPANS, group="workers")
    assert missing.value == 4
    assert missing.evidence == {"group": "workers", "there_in_the_end": True}


def test_a_group_that_never_came_back_is_named() -> None:
    readings = history(lambda at_s: replace(EMPTY, group_there=at_s < 20))
    missing = group_missing(readings, SPANS, group="workers")
    assert missing.value == 9.75
    assert missing.evidence["there_in_the_end"] is False


def test_a_list_has_no_group_to_miss() -> None:
    readings = history(lambda _: replace(EMPTY, group_there=None))
    assert group_missing(readings, SPANS, group=None).value == 0


def used(arrived_at: Callable[[float], float], *, there: bool = True) -> float | None:
    readings = history(lambda at_s: replace(EMPTY, arrived=round(arrived_at(at_s)), there=there))
    return use_ratio(readings, SPANS, _hundred_a_second, settled_s=5).value


def _hundred_a_second(start_ns: int, end_ns: int) -> int:
    return round((end_ns - start_ns) / S * 100)


def test_a_queue_used_as_before_is_used_again() -> None:
    assert used(lambda at_s: at_s * 100) == pytest.approx(1)


def test_a_queue_that_is_still_bypassed_is_not() -> None:
    assert used(lambda at_s: min(at_s, 10) * 100) == 0


def test_a_queue_that_is_used_again_in_time_has_settled() -> None:
    assert used(lambda at_s: min(at_s, 10) * 100 + max(at_s - 24, 0) * 100) == pytest.approx(1)


def test_a_server_that_counts_from_zero_again_is_used_all_the_same() -> None:
    assert used(lambda at_s: (at_s if at_s < 27 else at_s - 27) * 100) == pytest.approx(
        0.95, abs=0.1
    )


def test_who_does_not_use_the_queue_without_a_fault_need_not_after_one() -> None:
    assert used(lambda _: 0) == 1
    assert used(lambda _: 0, there=False) is None  # The target file may name a wrong key.


def test_every_reading_that_failed_leaves_all_of_it_unknown() -> None:
    blind: Sequence[QueueReading] = history(lambda _: None)
    assert backlog(blind, SPANS, Phase.OUTAGE).value is None
    assert time_to_drain(blind, SPANS).value is None
    assert group_missing(blind, SPANS, group="workers").value is None
    assert stalled_consumers(blind, SPANS, Phase.RECOVERY, after_s=3).value is None
    assert use_ratio(blind, SPANS, _hundred_a_second, settled_s=5).value is None
