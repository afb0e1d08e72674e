"""Fallback, goodput and inflation, on literal histories."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from perfchaos.ledger import Fates, Held, Ledger, reconcile
from perfchaos.measure.fallback import (
    goodput_ratio,
    latency_inflation,
    stretches,
    time_to_fallback,
)
from perfchaos.measure.phases import samples_of, window_of
from perfchaos.recording import Outcome, Recorder, Recording
from perfchaos.timeline import Event, Phase, Span
from perfchaos.verdict import Band, Better, Limits, Measurement, judge

S = 1_000_000_000
BASELINE = Span(phase=Phase.BASELINE, start_ns=0, end_ns=10 * S)
OUTAGE = Span(phase=Phase.OUTAGE, start_ns=10 * S, end_ns=30 * S)
SPANS = (BASELINE, OUTAGE)
PER_S = 50
EVERY = range(PER_S * 30)


def at_s(n: int) -> float:
    return n / PER_S


def recorded(
    folder: Path, failed: Iterable[int], *, took_us: Sequence[int] = (2_000, 2_000)
) -> Recording:
    """Fifty requests a second for thirty seconds; those in `failed` are indeterminate."""
    lost = set(failed)
    with Recorder(folder / "0.samples", epoch_ns=0) as recorder:
        recorder.planned(len(EVERY))
        for n in EVERY:
            outcome = Outcome.INDETERMINATE if n in lost else Outcome.ACKED
            took = took_us[at_s(n) >= 10]
            recorder.write(n * S // PER_S, n, 0, took, 202, outcome, 0)
    return Recording.open(folder / "0.samples")


def ledger(acked: Iterable[int], held: Iterable[int]) -> Ledger:
    none = np.empty(0, dtype=np.int64)
    numbers = np.array(sorted(held), dtype=np.int64)
    return reconcile(
        Fates(acked=np.array(sorted(acked), dtype=np.int64), refused=none, indeterminate=none),
        Held(numbers=numbers, counts=np.ones_like(numbers)),
        none,
    )


def ratio(recording: Recording, kept: Ledger) -> tuple[float | None, float, float]:
    samples = {
        phase: samples_of(recording, SPANS, phase, now_ns=30 * S)
        for phase in (Phase.BASELINE, Phase.OUTAGE)
    }
    found = goodput_ratio(
        samples[Phase.OUTAGE],
        samples[Phase.BASELINE],
        kept,
        Phase.OUTAGE,
        epoch_ns=recording.epoch_ns,
        lived=stretches((), SPANS, Phase.OUTAGE, now_ns=30 * S),
    )
    low, high = found.evidence["interval_95_low"], found.evidence["interval_95_high"]
    assert isinstance(low, float)
    assert isinstance(high, float)
    return found.value, low, high


def to_fallback(
    recording: Recording, spans: Sequence[Span] = SPANS, events: Sequence[Event] = ()
) -> Measurement:
    return time_to_fallback(
        samples_of(recording, spans, Phase.OUTAGE, now_ns=30 * S),
        samples_of(recording, spans, Phase.BASELINE, now_ns=30 * S),
        Phase.OUTAGE,
        epoch_ns=recording.epoch_ns,
        lived=stretches(events, spans, Phase.OUTAGE, now_ns=30 * S),
        good_ratio=0.9,
    )


def fallback_s(recording: Recording, spans: Sequence[Span] = SPANS) -> tuple[object, object]:
    found = to_fallback(recording, spans)
    return found.value, found.evidence["got_there"]


def test_all_acked_and_kept_is_a_fallback_as_good_as_the_dependency(tmp_path: Path) -> None:
    value, low, high = ratio(recorded(tmp_path, []), ledger(EVERY, EVERY))
    assert value == 1
    assert low < 1 < high


def test_what_was_acked_and_not_kept_is_no_goodput(tmp_path: Path) -> None:
    # A quarter of what was acked in the outage is nowhere: the clients saw no failure at all.
    gone = {n for n in EVERY if at_s(n) >= 10 and n % 4 == 0}
    value, low, high = ratio(recorded(tmp_path, []), ledger(EVERY, set(EVERY) - gone))
    assert value == pytest.approx(0.75)
    assert low < 0.75 < high


def test_a_failed_request_is_no_goodput_even_if_it_is_held(tmp_path: Path) -> None:
    failed = {n for n in EVERY if at_s(n) >= 10 and n % 5 == 0}
    value, *_ = ratio(recorded(tmp_path, failed), ledger(set(EVERY) - failed, EVERY))
    assert value == pytest.approx(0.8)


def test_a_baseline_that_was_no_better_takes_no_blame_away(tmp_path: Path) -> None:
    failed = {n for n in EVERY if n % 2 == 0}
    value, *_ = ratio(recorded(tmp_path, failed), ledger(set(EVERY) - failed, EVERY))
    assert value == pytest.approx(1)


def test_without_goodput_in_the_baseline_nothing_is_known(tmp_path: Path) -> None:
    recording = recorded(tmp_path, [])
    samples = samples_of(recording, SPANS, Phase.OUTAGE, now_ns=30 * S)
    nothing = samples_of(recording, SPANS, Phase.RECOVERY, now_ns=30 * S)
    found = goodput_ratio(
        samples, nothing, ledger(EVERY, EVERY), Phase.OUTAGE, epoch_ns=recording.epoch_ns, lived=()
    )
    assert found.value is None
    assert found.evidence["interval_95_low"] is None


def test_an_outage_that_nobody_noticed_took_no_time_to_fall_back(tmp_path: Path) -> None:
    assert fallback_s(recorded(tmp_path, [])) == (0.0, True)


def test_the_fallback_begins_with_the_first_request_served_after_the_last_bad_second(
    tmp_path: Path,
) -> None:
    failed = [n for n in EVERY if 10 <= at_s(n) < 13.5]
    assert fallback_s(recorded(tmp_path, failed)) == (pytest.approx(3.5, abs=0.03), True)


def test_single_failures_among_many_are_no_interruption(tmp_path: Path) -> None:
    failed = [n for n in EVERY if at_s(n) >= 10 and n % 20 == 0]
    assert fallback_s(recorded(tmp_path, failed)) == (0.0, True)


def test_a_relapse_counts_up_to_its_end(tmp_path: Path) -> None:
    failed = [n for n in EVERY if 10 <= at_s(n) < 11 or 20 <= at_s(n) < 22]
    assert fallback_s(recorded(tmp_path, failed)) == (pytest.approx(12.0, abs=0.03), True)


def test_without_a_fallback_the_whole_outage_counts(tmp_path: Path) -> None:
    failed = [n for n in EVERY if at_s(n) >= 10]
    assert fallback_s(recorded(tmp_path, failed)) == (20.0, False)


def test_of_repeated_outages_the_worst_counts(tmp_path: Path) -> None:
    spans = (
        BASELINE,
        Span(phase=Phase.OUTAGE, start_ns=10 * S, end_ns=15 * S),
        Span(phase=Phase.RECOVERY, start_ns=15 * S, end_ns=20 * S),
        Span(phase=Phase.OUTAGE, start_ns=20 * S, end_ns=30 * S),
    )
    failed = [n for n in EVERY if 10 <= at_s(n) < 10.5 or 20 <= at_s(n) < 22]
    value, got_there = fallback_s(recorded(tmp_path, failed), spans)
    assert value == pytest.approx(2.0, abs=0.03)
    assert got_there


def test_the_first_failure_is_when_a_client_saw_it(tmp_path: Path) -> None:
    failed = [n for n in EVERY if 11 <= at_s(n) < 12]
    recording = recorded(tmp_path, failed, took_us=(2_000, 500_000))
    found = to_fallback(recording)
    assert found.evidence["first_failure_s"] == pytest.approx(1.5)
    assert found.evidence["failures"] == 50


def test_inflation_is_the_ratio_of_the_two_p99(tmp_path: Path) -> None:
    recording = recorded(tmp_path, [], took_us=(4_000, 100_000))
    baseline, outage = (
        window_of(recording, SPANS, phase, now_ns=30 * S)
        for phase in (Phase.BASELINE, Phase.OUTAGE)
    )
    assert latency_inflation(outage, baseline, Phase.OUTAGE).value == pytest.approx(25)
    assert latency_inflation(baseline, baseline, Phase.BASELINE).value == 1


def test_inflation_of_an_outage_without_an_answer_is_unknown(tmp_path: Path) -> None:
    recording = recorded(tmp_path, [])
    baseline = window_of(recording, SPANS, Phase.BASELINE, now_ns=30 * S)
    never = window_of(recording, SPANS, Phase.RECOVERY, now_ns=30 * S)
    assert latency_inflation(never, baseline, Phase.RECOVERY).value is None


def waiting(
    folder: Path, *, healed_s: float, outage_s: float, per_s: int, took_ms: int = 2
) -> tuple[Recording, tuple[Span, ...]]:
    """A system without any fallback: what came in the outage is answered once it is healed."""
    spans = (
        BASELINE,
        Span(phase=Phase.OUTAGE, start_ns=10 * S, end_ns=round((10 + outage_s) * S)),
    )
    with Recorder(folder / "0.samples", epoch_ns=0) as recorder:
        recorder.planned(30 * per_s)
        for n in range(30 * per_s):
            at_ns = n * S // per_s
            waits_ns = round((10 + healed_s) * S) - at_ns
            # Ten milliseconds before the fault and after is the time of what it caught.
            caught = at_ns + took_ms * 1_000_000 > 10 * S and waits_ns > 0
            took_us = took_ms * 1000 + (waits_ns // 1000 if caught else 0)
            recorder.write(at_ns, n, 0, took_us, 202, Outcome.ACKED, 0)
    return Recording.open(folder / "0.samples"), spans


HEALED = (
    Event(at_ns=10 * S, name="fault injected", facts={"lease": "r/1"}),
    Event(at_ns=19 * S, name="fault injected", facts={"lease": "r/2"}),
    Event(at_ns=round(17.9 * S), name="fault healed", facts={"lease": "r/1"}),
    Event(
        at_ns=round(18.2 * S), name="fault back to normal", facts={"lease": "r/1", "after_ms": 500}
    ),
)


@pytest.mark.parametrize("per_s", [5, 40, 200])
@pytest.mark.parametrize("outage_s", [3.0, 8.0, 15.0])
@pytest.mark.parametrize("took_ms", [2, 150])
def test_what_merely_waited_for_the_heal_is_no_fallback(
    tmp_path: Path, per_s: int, outage_s: float, took_ms: int
) -> None:
    recording, spans = waiting(
        tmp_path, healed_s=outage_s, outage_s=outage_s, per_s=per_s, took_ms=took_ms
    )
    everything = range(30 * per_s)
    samples, baseline = (
        samples_of(recording, spans, phase, now_ns=30 * S)
        for phase in (Phase.OUTAGE, Phase.BASELINE)
    )
    found = goodput_ratio(
        samples,
        baseline,
        ledger(everything, everything),
        Phase.OUTAGE,
        epoch_ns=0,
        lived=stretches((), spans, Phase.OUTAGE, now_ns=30 * S),
    )
    assert found.value == 0
    assert found.evidence["only_after_the_heal"] == found.samples
    late = to_fallback(recording, spans)
    assert (late.value, late.lower_bound) == (outage_s, True)


def test_the_heal_is_when_somebody_began_to_undo_the_fault(tmp_path: Path) -> None:
    spans = (BASELINE, Span(phase=Phase.OUTAGE, start_ns=10 * S, end_ns=round(18.2 * S)))
    [outage] = stretches(HEALED, spans, Phase.OUTAGE, now_ns=30 * S)
    assert (outage.start_ns, outage.healed_ns) == (10 * S, round(17.7 * S))
    # All were answered at 17.8 s, and the outage was seen to be over at 18.2 s.
    recording, _ = waiting(tmp_path, healed_s=7.8, outage_s=8.2, per_s=40)
    late = to_fallback(recording, spans, HEALED)
    assert late.value == pytest.approx(7.7)
    assert late.lower_bound


@pytest.mark.parametrize("took_ms", [2, 100, 900])
def test_a_target_that_does_not_notice_is_not_blamed_for_what_was_under_way(
    tmp_path: Path, took_ms: int
) -> None:
    recording = recorded(tmp_path, [], took_us=(took_ms * 1000, took_ms * 1000))
    spans = (BASELINE, Span(phase=Phase.OUTAGE, start_ns=10 * S, end_ns=12 * S))
    samples, baseline = (
        samples_of(recording, spans, phase, now_ns=30 * S)
        for phase in (Phase.OUTAGE, Phase.BASELINE)
    )
    found = goodput_ratio(
        samples,
        baseline,
        ledger(EVERY, EVERY),
        Phase.OUTAGE,
        epoch_ns=0,
        lived=stretches((), spans, Phase.OUTAGE, now_ns=30 * S),
    )
    assert found.value == 1
    assert to_fallback(recording, spans).value == 0


@pytest.mark.parametrize(("outage_s", "band"), [(9, Band.UNKNOWN), (20, Band.CRITICAL)])
def test_a_fallback_that_never_came_is_no_late_one(
    tmp_path: Path, outage_s: int, band: Band
) -> None:
    spans = (BASELINE, Span(phase=Phase.OUTAGE, start_ns=10 * S, end_ns=(10 + outage_s) * S))
    failed = [n for n in EVERY if 10 <= at_s(n) < 10 + outage_s]
    found = to_fallback(recorded(tmp_path, failed), spans)
    limits = Limits(better=Better.LOWER, excellent=1, good=2, warn=10)
    assert judge(found, limits).band is band


@pytest.mark.parametrize(("failing", "value"), [(5, 0.0), (6, 20.0)])
def test_as_many_as_the_share_allows_may_fail(tmp_path: Path, failing: int, value: float) -> None:
    """Of fifty in a second, 0.9 lets five fail."""
    failed = [n for n in EVERY if at_s(n) >= 10 and n % 50 < failing]
    assert fallback_s(recorded(tmp_path, failed))[0] == value
