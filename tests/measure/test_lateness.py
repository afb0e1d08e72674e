"""The generator's own lateness in each phase, on literal histories."""

from pathlib import Path

import pytest

from perfchaos.measure.lateness import late_phases
from perfchaos.recording import Outcome, Recorder, Recording
from perfchaos.recording.layout import Waited
from perfchaos.timeline import Phase, Span

MS = 1_000_000
S = 1000 * MS


def stalled(
    folder: Path,
    *,
    per_s: int,
    at_s: float,
    stall_ms: int,
    run_s: int = 40,
    reconnects: bool = False,
) -> Recording:
    """
    A generator that stood still once; the target answers in 2 ms throughout.

    With `reconnects` only one connection was idle, and all but the first of those that were due
    meanwhile had to wait for another 5 ms.
    """
    begun_ns, over_ns = round(at_s * S), round(at_s * S) + stall_ms * MS
    with Recorder(folder / "0.samples", epoch_ns=0) as recorder:
        recorder.planned(run_s * per_s)
        first = True
        for n in range(run_s * per_s):
            due_ns = n * S // per_s
            late_ns = over_ns - due_ns if begun_ns <= due_ns < over_ns else 0
            waited = Waited.FOR_CONNECTION if late_ns and reconnects and not first else Waited.NO
            first = first and not late_ns
            lateness_us = (late_ns + 5 * MS * waited) // 1000
            recorder.write(due_ns, n, lateness_us, 2000, 202, Outcome.ACKED, waited)
    return Recording.open(folder / "0.samples")


def spans(outage_s: float) -> tuple[Span, ...]:
    over_ns = round((8 + outage_s) * S)
    return (
        Span(phase=Phase.BASELINE, start_ns=0, end_ns=8 * S),
        Span(phase=Phase.OUTAGE, start_ns=8 * S, end_ns=over_ns),
        Span(phase=Phase.RECOVERY, start_ns=over_ns, end_ns=40 * S),
    )


@pytest.mark.parametrize("reconnects", [False, True])
@pytest.mark.parametrize("per_s", [5, 40, 300])
@pytest.mark.parametrize(("at_s", "phase"), [(2, "baseline"), (10, "outage")])
def test_a_stall_of_the_generator_is_told_by_its_phase(
    tmp_path: Path, per_s: int, at_s: float, phase: str, reconnects: bool
) -> None:
    recording = stalled(tmp_path, per_s=per_s, at_s=at_s, stall_ms=370, reconnects=reconnects)
    [told] = late_phases(recording, spans(20), now_ns=40 * S)
    assert told.startswith(f"in the {phase}, 1 % of the requests were turned to")


@pytest.mark.parametrize(("stall_ms", "late"), [(50, 0), (150, 1)])
def test_a_generator_that_keeps_up_is_not_blamed(tmp_path: Path, stall_ms: int, late: int) -> None:
    recording = stalled(tmp_path, per_s=40, at_s=10, stall_ms=stall_ms)
    assert len(late_phases(recording, spans(4), now_ns=40 * S)) == late


def test_waiting_for_a_busy_target_is_not_the_generator(tmp_path: Path) -> None:
    with Recorder(tmp_path / "0.samples", epoch_ns=0) as recorder:
        recorder.planned(400)
        for n in range(400):
            waited = Waited.FOR_CONNECTION if n >= 100 else Waited.NO
            recorder.write(n * S // 40, n, 900_000 * waited, 100, 202, Outcome.ACKED, waited)
    recording = Recording.open(tmp_path / "0.samples")
    assert late_phases(recording, spans(2), now_ns=40 * S) == ()


def test_each_process_of_the_generator_is_late_by_itself(tmp_path: Path) -> None:
    for part in (0, 1):
        with Recorder(tmp_path / f"{part}.samples", epoch_ns=0, part=part, parts=2) as recorder:
            recorder.planned(400)
            for n in range(400):
                lateness_us = 900_000 if part and n % 40 == 0 else 0
                waited = Waited.FOR_CONNECTION if not part else Waited.NO
                recorder.write(
                    n * S // 40, 2 * n + part, lateness_us, 100, 202, Outcome.ACKED, waited
                )
    found = late_phases(Recording.open(tmp_path), spans(2), now_ns=40 * S)
    assert {told.partition(",")[0] for told in found} == {"in the baseline", "in the outage"}
    assert all("half" in told or "1 %" in told for told in found)
