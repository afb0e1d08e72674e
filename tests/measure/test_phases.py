"""Which phase a request belongs to, on literal histories."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from perfchaos.measure.phases import window_of
from perfchaos.phases import lived
from perfchaos.recording import Outcome, Recorder, Recording
from perfchaos.timeline import Phase, Span

MS = 1_000_000
SPANS = (
    Span(phase=Phase.BASELINE, start_ns=1000 * MS, end_ns=2000 * MS),
    Span(phase=Phase.OUTAGE, start_ns=2000 * MS, end_ns=3000 * MS),
    Span(phase=Phase.RECOVERY, start_ns=3000 * MS, end_ns=4000 * MS),
)


def recording(path: Path, requests: Sequence[tuple[int, int]]) -> Recording:
    """Requests as (intended at, took), in milliseconds."""
    with Recorder(path, epoch_ns=0) as recorder:
        recorder.planned(len(requests))
        for n, (at_ms, took_ms) in enumerate(requests):
            recorder.write(at_ms * MS, n, 0, took_ms * 1000, 202, Outcome.ACKED, 0)
    return Recording.open(path)


@pytest.mark.parametrize(
    ("at_ms", "took_ms", "phase"),
    [
        (1000, 10, Phase.BASELINE),
        (1990, 10, Phase.BASELINE),
        (1990, 11, Phase.OUTAGE),  # caught by the fault before it was answered
        (2000, 10, Phase.OUTAGE),
        (2999, 2000, Phase.OUTAGE),
        (3000, 10, Phase.RECOVERY),
        (999, 10, None),  # warm-up
        (4000, 10, None),  # after the load was ended
    ],
)
def test_a_request_that_met_the_outage_belongs_to_it(
    tmp_path: Path, at_ms: int, took_ms: int, phase: Phase | None
) -> None:
    recorded = recording(tmp_path / "0.samples", [(at_ms, took_ms)])
    found = [
        candidate
        for candidate in Phase
        if window_of(recorded, SPANS, candidate, now_ns=4000 * MS).planned_count
    ]
    assert found == ([phase] if phase else [])


def test_every_request_of_the_phases_is_in_exactly_one(tmp_path: Path) -> None:
    requests = [(at_ms, took_ms) for at_ms in range(1000, 4000, 7) for took_ms in (1, 500, 1500)]
    recorded = recording(tmp_path / "0.samples", requests)
    counts = [window_of(recorded, SPANS, phase, now_ns=4000 * MS).planned_count for phase in Phase]
    assert sum(counts) == len(requests)


def test_repeated_outages_are_measured_together(tmp_path: Path) -> None:
    spans = (
        *SPANS,
        Span(phase=Phase.OUTAGE, start_ns=4000 * MS, end_ns=5000 * MS),
        Span(phase=Phase.RECOVERY, start_ns=5000 * MS, end_ns=6000 * MS),
    )
    recorded = recording(tmp_path / "0.samples", [(2500, 1), (3500, 1), (4500, 1), (4600, 1)])
    outage = window_of(recorded, spans, Phase.OUTAGE, now_ns=6000 * MS)
    assert outage.planned_count == 3
    assert outage.duration_s == 2.0
    assert outage.rate_per_s == 1.5


def test_a_phase_that_never_came_holds_nothing(tmp_path: Path) -> None:
    recorded = recording(tmp_path / "0.samples", [(1500, 1)])
    window = window_of(recorded, SPANS[:1], Phase.OUTAGE, now_ns=2000 * MS)
    assert window.planned_count == 0
    assert window.error_ratio is None


def test_without_an_outage_the_baseline_is_all_there_is(tmp_path: Path) -> None:
    under_way = (Span(phase=Phase.BASELINE, start_ns=1000 * MS, end_ns=None),)
    recorded = recording(tmp_path / "0.samples", [(1500, 10_000)])
    window = window_of(recorded, under_way, Phase.BASELINE, now_ns=2000 * MS)
    assert window.planned_count == 1
    assert lived(under_way) == (Phase.BASELINE,)
