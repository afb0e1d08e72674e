"""Which requests are known, while a recording grows, on literal histories."""

from pathlib import Path

import numpy as np
import pytest

from perfchaos.measure.requests import Followed, Requests
from perfchaos.recording import Failure, Outcome, Recorder, Recording

MS = 1_000_000
FOR_EVER = int(np.iinfo(np.int64).max)


def plain(requests: Requests) -> tuple[object, ...]:
    return (
        requests.intended_ns.tolist(),
        requests.done_ns.tolist(),
        requests.acked.tolist(),
        requests.flags.tolist(),
        requests.known_until_ns,
    )


def test_what_is_missing_makes_all_after_it_unknown_from_when_it_was_due(tmp_path: Path) -> None:
    """One that hangs is due after the last before it: what follows says nothing of its time."""
    with Recorder(tmp_path / "0.samples", epoch_ns=0) as recorder:
        recorder.planned(100)
        for n in (0, 1, 2, *range(50, 100)):
            recorder.write(n * 10 * MS, n, 0, 1000, 202, Outcome.ACKED, 0)
    known = Requests.of(Recording.open(tmp_path / "0.samples"), until_ns=FOR_EVER)
    assert known.intended_ns.tolist() == [0, 10 * MS, 20 * MS]
    assert known.known_until_ns == 20 * MS + 1


@pytest.mark.parametrize("parts", [1, 3])
def test_following_finds_what_reading_it_all_finds(tmp_path: Path, parts: int) -> None:
    draw = np.random.default_rng(20261125)
    count = 40_000  # More than there is room for at first.
    took_us = draw.integers(100, 400_000, count)
    ends = np.argsort(np.arange(count) * 1_000 + took_us, kind="stable")
    recorders = [
        Recorder(tmp_path / f"{part}.samples", epoch_ns=5, part=part, parts=parts)
        for part in range(parts)
    ]
    followed = None
    handed_out: list[tuple[Requests, tuple[object, ...]]] = []
    for step, n in enumerate(ends.tolist()):
        outcome = Outcome.ACKED if draw.random() < 0.9 else Outcome.REFUSED
        code = Failure.STOPPED if n == 39_990 else 202
        recorders[n % parts].write(n * MS, n, 0, int(took_us[n]), code, outcome, n % 7)
        if step % 7_001 == 100:
            if followed is None:
                followed = Followed(Recording.open(tmp_path))
            every = Requests.of(Recording.open(tmp_path), until_ns=FOR_EVER)
            known = followed.requests(Requests, until_ns=FOR_EVER)
            assert plain(known) == plain(every)
            handed_out.append((known, plain(known)))
    assert followed is not None
    last = followed.requests(Requests, until_ns=FOR_EVER)
    assert len(last.intended_ns) == 39_990
    assert last.longest == int(took_us.max()) * 1000
    # What was handed out before has not changed under its owner.
    assert all(plain(requests) == was for requests, was in handed_out)
    for recorder in recorders:
        recorder.close()


@pytest.mark.parametrize(
    ("until_ms", "cut", "count"), [(95, False, 10), (95, True, 8), (60, True, 4)]
)
def test_what_a_fault_caught_ends_what_is_known(
    tmp_path: Path, until_ms: int, cut: bool, count: int
) -> None:
    with Recorder(tmp_path / "0.samples", epoch_ns=0) as recorder:
        recorder.planned(20)
        for n in range(20):
            recorder.write(n * 10 * MS, n, 0, 20_000, 202, Outcome.ACKED, 0)
    every = Requests.of(Recording.open(tmp_path / "0.samples"), until_ns=FOR_EVER)
    assert len(every.until(until_ms * MS, cut=cut).intended_ns) == count
