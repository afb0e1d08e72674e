"""The four recovery times, on literal histories."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perfchaos.measure.recovery import (
    NO_LOOKS,
    Backlog,
    Baseline,
    Disturbance,
    Origin,
    Recovery,
    baseline_of,
    disturbances,
    recovery,
)
from perfchaos.measure.requests import Requests
from perfchaos.recording import Failure, Outcome, Recorder, Recording
from perfchaos.recording.layout import sqlstate_flags
from perfchaos.timeline import Event, Fact, Phase, Span

MS = 1_000_000
S = 1000 * MS
EVERY_MS = 5  # 200 requests a second
FAULT_MS = 10_000
END_MS = 40_000
BASELINE = Baseline(latency_max_ns=20 * MS, waiting_max=3, backlog_max=75)

type Fate = tuple[bool, float]


def history(fate: Callable[[int], Fate], *, end_ms: int = END_MS) -> Requests:
    """Requests every 5 ms; `fate` says of the one due at a millisecond: acked?, latency in ms."""
    due_ms = np.arange(0, end_ms, EVERY_MS)
    fates = [fate(int(at_ms)) for at_ms in due_ms]
    taken_ms = np.array([latency_ms for _, latency_ms in fates])
    return Requests(
        intended_ns=due_ms * MS,
        done_ns=due_ms * MS + (taken_ms * MS).astype(np.int64),
        acked=np.array([acked for acked, _ in fates]),
        flags=np.zeros(len(fates), np.uint8),
        known_until_ns=end_ms * MS,
    )


def disturbed(*, in_force_ms: int = FAULT_MS, healed_ms: int | None = FAULT_MS) -> Disturbance:
    return Disturbance(
        kind="crash",
        fault_ns=FAULT_MS * MS,
        in_force_ns=in_force_ms * MS,
        healed_ns=None if healed_ms is None else healed_ms * MS,
        until_ns=END_MS * MS,
    )


def found(
    requests: Requests,
    *,
    disturbance: Disturbance | None = None,
    backlog: Backlog | None = None,
    origin: Origin = "fault",
) -> Recovery:
    result = recovery(requests, disturbance or disturbed(), BASELINE, backlog, origin=origin)
    assert result is not None
    return result


def down(start_ms: int, end_ms: int) -> Callable[[int], Fate]:
    """Refused from one moment to another."""
    return lambda at_ms: (not start_ms <= at_ms < end_ms, 2)


def test_times_of_an_outage_that_ends_at_once_are_its_end_within_one_request() -> None:
    times = found(history(down(10_000, 13_200)))
    for moment in (times.first_write, times.sustained, times.latency_back, times.drained):
        assert moment is not None
        assert moment.after_s == pytest.approx(3.2, abs=0.005)
        assert moment.resolution_s <= 0.0075
    assert times.first_failure_after_s == 0
    assert times.failed_count == 640


def test_reasons_are_those_of_the_requests_that_failed() -> None:
    requests = history(down(10_000, 13_200))
    refused = sqlstate_flags(b'{"sqlstate": "57P03"}')
    at_ms = requests.intended_ns // MS
    # One that failed before the fault is not of this disturbance.
    for due_ms in (9_000, 10_000, 11_000):
        requests.flags[at_ms == due_ms] = refused
    assert found(requests).sqlstates == {"57": 2}


def test_first_write_does_not_wait_for_the_last_failure() -> None:
    def fate(at_ms: int) -> Fate:
        if 10_000 <= at_ms < 12_000:
            return False, 2
        return not (12_000 <= at_ms < 16_000 and at_ms // EVERY_MS % 2), 2

    times = found(history(fate))
    assert times.first_write is not None
    assert times.sustained is not None
    assert times.first_write.after_s == pytest.approx(2, abs=0.01)
    assert times.sustained.after_s == pytest.approx(6, abs=0.01)


@pytest.mark.parametrize(("failures", "sustained_s"), [(1, 2.002), (2, 3.007)])
def test_one_failure_in_a_thousand_sustains_and_two_do_not(
    failures: int, sustained_s: float
) -> None:
    strays_ms = [13_000, 13_005][2 - failures :]

    def fate(at_ms: int) -> Fate:
        return not (10_000 <= at_ms < 12_000 or at_ms in strays_ms), 2

    times = found(history(fate))
    assert times.sustained is not None
    # With two strays a window may hold one of them: it starts right after the first.
    assert times.sustained.after_s == pytest.approx(sustained_s, abs=0.006)


def test_an_acknowledgement_on_its_way_when_the_fault_came_is_not_recovery() -> None:
    """Sent after the first victim, committed before the crash: it proves nothing."""

    def fate(at_ms: int) -> Fate:
        return (at_ms == 9_995 or not 9_990 <= at_ms < 13_000), 12 if at_ms == 9_990 else 6

    times = found(history(fate), disturbance=disturbed(in_force_ms=10_002))
    assert times.first_write is not None
    assert times.first_write.after_s == pytest.approx(3.0, abs=0.01)
    assert times.first_failure_after_s == pytest.approx(-0.01)


def test_what_was_acknowledged_before_the_fault_bit_is_not_recovery() -> None:
    times = found(history(down(10_100, 13_000)))
    assert times.first_write is not None
    assert times.first_write.after_s == pytest.approx(3.0, abs=0.01)
    assert times.first_failure_after_s == pytest.approx(0.1)


def test_requests_that_waited_through_the_outage_count_from_their_acknowledgement() -> None:
    """A hang: everything due in two seconds is acknowledged at their end, all at once."""

    def fate(at_ms: int) -> Fate:
        if 10_000 <= at_ms < 11_000:
            return False, 1000
        return True, 12_000 - at_ms + 2 if 11_000 <= at_ms < 12_000 else 2

    times = found(history(fate))
    assert times.sustained is not None
    assert times.sustained.after_s == pytest.approx(2.0, abs=0.01)
    assert times.latency_back is not None
    assert times.latency_back.after_s == pytest.approx(2.0, abs=0.01)


def test_latency_may_come_back_after_success_has() -> None:
    def fate(at_ms: int) -> Fate:
        if 10_000 <= at_ms < 11_000:
            return False, 2
        return True, 60 if 11_000 <= at_ms < 18_000 else 2

    times = found(history(fate))
    assert times.sustained is not None
    assert times.latency_back is not None
    assert times.drained is not None
    assert times.sustained.after_s == pytest.approx(1.06, abs=0.01)
    # Up to 5 % of a window of five seconds may still be slow.
    assert times.latency_back.after_s == pytest.approx(8.0, abs=0.01)
    assert times.drained.after_s > 7  # twelve requests under way, where the baseline had one


def test_queue_is_drained_when_it_holds_what_the_baseline_held() -> None:
    at_ns = np.arange(0, END_MS, 500) * MS
    waiting = np.where((at_ns >= 10 * S) & (at_ns < 15 * S), 76, 75)
    times = found(
        history(down(10_000, 11_000)), backlog=Backlog(at_ns=at_ns, waiting_count=waiting)
    )
    assert times.drained is not None
    assert times.drained.after_s == pytest.approx(5.0)
    assert times.drained.resolution_s == pytest.approx(0.5)


def test_queue_that_was_never_looked_at_is_not_drained() -> None:
    nothing = Backlog(at_ns=np.empty(0, np.int64), waiting_count=np.empty(0, np.int64))
    assert found(history(down(10_000, 11_000)), backlog=nothing).drained is None


def test_without_a_failure_there_is_nothing_to_recover_from() -> None:
    times = found(history(lambda _: (True, 2)))
    assert times.complete
    assert times.sustained is not None
    assert times.sustained.after_s == 0


def test_a_stray_failure_long_after_does_not_delay_recovery() -> None:
    times = found(history(down(30_000, 30_005)))
    assert times.sustained is not None
    assert times.sustained.after_s < 0.01
    assert times.first_write is not None
    assert times.first_write.after_s < 0.01


@pytest.mark.parametrize(("end_ms", "complete"), [(16_999, False), (17_001, True)])
def test_what_was_not_watched_for_the_whole_window_is_not_sustained(
    end_ms: int, complete: bool
) -> None:
    times = found(history(down(10_000, 12_000), end_ms=end_ms))
    assert (times.sustained is not None) is complete


def test_target_that_never_comes_back_has_no_times() -> None:
    times = found(history(down(10_000, END_MS)))
    assert (times.first_write, times.sustained, times.drained) == (None, None, None)
    assert times.watched_s == pytest.approx(30)


def test_times_since_the_heal_do_not_count_the_hold() -> None:
    requests = history(down(10_000, 16_000))
    times = found(requests, disturbance=disturbed(healed_ms=15_000), origin="heal")
    assert times.sustained is not None
    assert times.sustained.after_s == pytest.approx(1, abs=0.01)
    assert times.first_failure_after_s == pytest.approx(-5)


def test_nothing_counts_from_a_heal_that_has_not_come() -> None:
    requests = history(down(10_000, 16_000))
    times = recovery(requests, disturbed(healed_ms=None), BASELINE, None, origin="heal")
    assert times is None


def test_baseline_sets_limits_above_what_it_was() -> None:
    requests = history(lambda at_ms: (True, 100 if at_ms % 100 == 0 else 2), end_ms=8_000)
    waiting = np.array([3, 7])
    limits = baseline_of(requests, Backlog(at_ns=waiting, waiting_count=waiting))
    assert limits is not None
    assert limits.latency_max_ns == pytest.approx(150 * MS)
    assert limits.backlog_max == pytest.approx(100, rel=0.01)  # half a second's arrivals
    empty = Backlog(at_ns=waiting[:0], waiting_count=waiting[:0])
    assert baseline_of(requests.between(0, 0), empty) is None


def recording(path: Path, rows: Sequence[tuple[int, int, Outcome, int]]) -> Recording:
    """Requests as (number, intended at in ms, outcome, code)."""
    with Recorder(path, epoch_ns=0) as recorder:
        recorder.planned(len(rows))
        for n, at_ms, outcome, code in rows:
            recorder.write(at_ms * MS, n, 0, 1000, code, outcome, 0)
    return Recording.open(path)


def test_requests_behind_one_still_in_flight_are_not_known_yet(tmp_path: Path) -> None:
    rows = [(n, n * 5, Outcome.ACKED, 202) for n in (0, 1, 4, 2)]
    kept = Requests.of(recording(tmp_path / "0.samples", rows), until_ns=100 * MS)
    assert kept.intended_ns.tolist() == [0, 5 * MS, 10 * MS]


def test_nothing_is_known_after_the_last_request_recorded(tmp_path: Path) -> None:
    rows = [(n, n * 5, Outcome.ACKED, 202) for n in range(3)]
    kept = Requests.of(recording(tmp_path / "0.samples", rows), until_ns=10**18)
    assert kept.known_until_ns == 10 * MS + 1
    nothing = Requests.of(recording(tmp_path / "1.samples", []), until_ns=10**18)
    assert nothing.known_until_ns == 0


def test_requests_cut_short_by_the_end_of_the_load_are_not_failures(tmp_path: Path) -> None:
    rows = [
        (0, 0, Outcome.ACKED, 202),
        (1, 5, Outcome.INDETERMINATE, Failure.STOPPED),
        (2, 10, Outcome.DROPPED, Failure.NOT_SENT_BEFORE_STOP),
    ]
    kept = Requests.of(recording(tmp_path / "0.samples", rows), until_ns=100 * MS)
    assert kept.acked.tolist() == [True]


def event(at_ms: int, name: str, **facts: Fact) -> Event:
    return Event(at_ns=at_ms * MS, name=name, facts=facts)


def test_every_fault_of_the_dependency_is_a_disturbance_until_the_next() -> None:
    events = (
        event(0, "fault injected", lease="r/1", kind="crash", dependency="postgres"),
        event(5, "fault in force", lease="r/1"),
        event(90, "fault back to normal", lease="r/1"),
        event(95, "fault healed", lease="r/1"),
        event(100, "fault injected", lease="r/2", dependency="redis"),
        event(200, "fault injected", lease="r/3", kind="hang", dependency="postgres"),
    )
    first, second = disturbances(events, (), dependency="postgres", until_ns=300 * MS)
    assert first == Disturbance(
        kind="crash",
        fault_ns=0,
        in_force_ns=5 * MS,
        healed_ns=90 * MS,
        until_ns=200 * MS,
        harmed_next=True,
    )
    assert second == Disturbance(
        kind="hang", fault_ns=200 * MS, in_force_ns=200 * MS, healed_ns=None, until_ns=300 * MS
    )


def test_baseline_is_asked_as_if_it_began_with_a_fault() -> None:
    spans = (Span(phase=Phase.BASELINE, start_ns=S, end_ns=None),)
    (only,) = disturbances((), spans, dependency="postgres", until_ns=9 * S)
    assert only.fault_ns == only.healed_ns == S
    assert disturbances((), (), dependency="postgres", until_ns=9 * S) == ()


@pytest.mark.parametrize(("relapse_ms", "back_s"), [(200, 8.2), (2_000, 10.0)])
def test_a_relapse_after_good_seconds_is_no_recovery(relapse_ms: int, back_s: float) -> None:
    def fate(at_ms: int) -> Fate:
        ill = 10_000 <= at_ms < 12_000 or 18_000 <= at_ms < 18_000 + relapse_ms
        return not ill, 2

    times = found(history(fate))
    assert times.sustained is not None
    assert times.sustained.after_s == pytest.approx(back_s, abs=0.01)
    assert times.first_write is not None
    assert times.first_write.after_s == pytest.approx(2, abs=0.01)


def test_a_relapse_that_lasts_to_the_end_leaves_no_recovery() -> None:
    times = found(history(lambda at_ms: (not (10_000 <= at_ms < 12_000 or at_ms >= 39_000), 2)))
    assert times.sustained is None
    assert times.latency_back is None


def test_slowness_that_comes_back_is_no_recovery_of_the_latency() -> None:
    slow = history(lambda at_ms: (True, 50 if 20_000 <= at_ms < 22_000 else 2))
    times = found(slow)
    assert times.sustained is not None
    assert times.sustained.after_s == 0
    assert times.latency_back is not None
    assert times.latency_back.after_s == pytest.approx(12, abs=0.01)


@pytest.mark.parametrize("per_s", [5, 40])
def test_one_stray_failure_is_no_relapse_at_a_low_rate(per_s: int) -> None:
    every_ms = 1000 // per_s
    requests = history(lambda at_ms: (at_ms // every_ms * every_ms != 25_000, 2))
    thinned = requests.between(0, END_MS * MS)
    kept = np.arange(0, len(thinned.intended_ns), every_ms // EVERY_MS)
    sparse = Requests(
        intended_ns=thinned.intended_ns[kept],
        done_ns=thinned.done_ns[kept],
        acked=thinned.acked[kept],
        flags=thinned.flags[kept],
        known_until_ns=thinned.known_until_ns,
    )
    times = found(sparse)
    assert np.count_nonzero(~sparse.acked) == 1
    assert times.sustained is not None
    assert times.sustained.after_s < 0.01


def test_what_the_next_fault_caught_is_no_relapse_of_the_recovery_before() -> None:
    caught = history(lambda at_ms: (not 10_000 <= at_ms < 12_000 and at_ms < 29_900, 150))
    until_next = replace(disturbed(), until_ns=30_000 * MS, harmed_next=True)
    slow_baseline = replace(BASELINE, latency_max_ns=200 * MS)
    times = recovery(caught, until_next, slow_baseline, None, origin="fault")
    assert times is not None
    assert times.sustained is not None
    assert times.sustained.after_s == pytest.approx(2.15, abs=0.01)
    assert times.failed_count == 400


def test_sustained_is_what_the_definition_says() -> None:
    """Against a slow search, on histories that flap."""
    draw = np.random.default_rng(20261125)
    for _ in range(40):
        flaps = np.repeat(draw.random(80) < 0.75, 100)[: END_MS // EVERY_MS]
        acked = flaps & (draw.random(len(flaps)) < 0.9995)
        requests = replace(history(lambda _: (True, 2)), acked=acked)
        first = FAULT_MS // EVERY_MS
        size = 5_000 // EVERY_MS
        bad = [
            int(np.count_nonzero(~acked[at : at + size]))
            for at in range(first, len(acked) - size + 1)
        ]
        holds = [
            at
            for at, count in enumerate(bad)
            if acked[first + at] and count <= size // 1000 and max(bad[at:]) <= max(1, size // 1000)
        ]
        times = found(requests)
        if not holds:
            assert times.sustained is None
        elif times.failed_count:
            assert times.sustained is not None
            expected_s = (holds[0] * EVERY_MS + 2) / 1000
            assert times.sustained.after_s == pytest.approx(expected_s, abs=1e-6)


@pytest.mark.parametrize("per_s", [10, 40, 150])
@pytest.mark.parametrize("service_ms", [5, 100, 700])
@pytest.mark.parametrize("outage_s", [3, 10])
def test_what_the_fault_caught_is_no_part_of_the_baseline(
    tmp_path: Path, per_s: int, service_ms: int, outage_s: int
) -> None:
    """What was in flight when a hang began ends with it, and is none of the yardstick."""
    end_s = 10 + outage_s + 20
    with Recorder(tmp_path / "0.samples", epoch_ns=0) as recorder:
        recorder.planned(end_s * per_s)
        for n in range(end_s * per_s):
            due_ns = n * S // per_s
            hangs = due_ns + service_ms * MS > 10 * S and due_ns < (10 + outage_s) * S
            done_ns = (10 + outage_s) * S if hangs else due_ns
            took_us = (done_ns - due_ns + service_ms * MS) // 1000
            recorder.write(due_ns, n, 0, took_us, 202, Outcome.ACKED, 0)
    spans = (
        Span(phase=Phase.BASELINE, start_ns=0, end_ns=10 * S),
        Span(phase=Phase.OUTAGE, start_ns=10 * S, end_ns=(10 + outage_s) * S),
        Span(phase=Phase.RECOVERY, start_ns=(10 + outage_s) * S, end_ns=end_s * S),
    )
    every = Requests.of(Recording.open(tmp_path / "0.samples"), until_ns=end_s * S)
    limits = baseline_of(every.of_phase(spans, Phase.BASELINE), NO_LOOKS)
    assert limits is not None
    assert limits.latency_max_ns == pytest.approx(max(1.5 * service_ms, service_ms + 10) * MS)
    fault = Disturbance(
        kind="hang",
        fault_ns=10 * S,
        in_force_ns=10 * S,
        healed_ns=(10 + outage_s) * S,
        until_ns=end_s * S,
    )
    times = recovery(every, fault, limits, None, origin="fault")
    assert times is not None
    assert times.latency_back is not None
    assert times.latency_back.after_s > outage_s - limits.latency_max_ns / S - 0.2
