"""Whether a baseline is well in itself, on literal histories."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from perfchaos.measure.baseline import WellLimits, ailments, no_yardstick, unanswered
from perfchaos.recording import Failure, Outcome, Recorder, Recording

MS = 1_000_000
S = 1000 * MS
LIMITS = WellLimits()

type Fate = tuple[Outcome, int, float]
"""Outcome, code, latency in milliseconds."""

WELL: Fate = (Outcome.ACKED, 202, 8.0)


def recorded(
    folder: Path, fate: Callable[[float], Fate | None], *, per_s: float = 40, seconds: float = 8
) -> Recording:
    """Requests at a constant rate; `fate` says of the one due at a second, None: not yet known."""
    count = round(per_s * seconds)
    with Recorder(folder / "0.samples", epoch_ns=0) as recorder:
        recorder.planned(count)
        for n in range(count):
            found = fate(n / per_s)
            if found is not None:
                outcome, code, took_ms = found
                recorder.write(round(n * S / per_s), n, 0, round(took_ms * 1000), code, outcome, 0)
    return Recording.open(folder / "0.samples")


def down(*, since_s: float, until_s: float, code: int = 503) -> Callable[[float], Fate]:
    failed: Fate = (Outcome.REFUSED, code, 1.0)
    return lambda at_s: failed if since_s <= at_s < until_s else WELL


@pytest.mark.parametrize("per_s", [5, 40, 300])
@pytest.mark.parametrize(("since_s", "lasts_s"), [(0, 2.2), (3, 1.0), (7, 1.0), (0, 8)])
def test_a_baseline_that_is_down_for_a_time_is_not_well(
    tmp_path: Path, per_s: float, since_s: float, lasts_s: float
) -> None:
    fate = down(since_s=since_s, until_s=since_s + lasts_s)
    [told] = ailments(recorded(tmp_path, fate, per_s=per_s).samples(), limits=LIMITS)
    failed, planned = round(lasts_s * per_s), round(8 * per_s)
    assert told == (
        f"{failed:,} of {planned:,} requests were not acknowledged (HTTP 503: {failed:,})"
    )


def test_a_second_of_a_long_baseline_is_told_by_when_it_was(tmp_path: Path) -> None:
    samples = recorded(tmp_path, down(since_s=60, until_s=61), seconds=120).samples()
    [told] = ailments(samples, limits=LIMITS)
    assert told.startswith("most requests failed between 60.0 s and 61.0 s")


@pytest.mark.parametrize(("failures", "well"), [(0, True), (3, True), (4, False)])
def test_one_in_a_hundred_may_fail(tmp_path: Path, failures: int, well: bool) -> None:
    """Of 320: three, and they need not come together."""
    failing = [50 * k for k in range(1, failures + 1)]
    samples = recorded(
        tmp_path,
        lambda at_s: (Outcome.REFUSED, 429, 1.0) if round(at_s * 40) in failing else WELL,
    ).samples()
    assert (not ailments(samples, limits=LIMITS)) is well


def test_one_failure_of_a_few_requests_is_a_stray(tmp_path: Path) -> None:
    fate = down(since_s=1.0, until_s=1.1)
    assert not ailments(recorded(tmp_path, fate, per_s=5, seconds=3).samples(), limits=LIMITS)


@pytest.mark.parametrize("per_s", [5, 40, 300])
@pytest.mark.parametrize("since_s", [0, 2.7, 5.8])
def test_a_baseline_that_is_slow_for_a_time_is_not_steady(
    tmp_path: Path, per_s: float, since_s: float
) -> None:
    def fate(at_s: float) -> Fate:
        slow = since_s <= at_s < since_s + 2.2
        return (Outcome.ACKED, 202, 128.0 if slow else 8.0)

    [told] = ailments(recorded(tmp_path, fate, per_s=per_s).samples(), limits=LIMITS)
    assert told.startswith("it was not steady: half of the requests of a second took 128 ms")


@pytest.mark.parametrize(("p99_ms", "well"), [(1000, True), (1001, False)])
def test_a_latency_beyond_the_limit_is_not_well(tmp_path: Path, p99_ms: int, well: bool) -> None:
    def fate(at_s: float) -> Fate:
        return (Outcome.ACKED, 202, p99_ms if at_s % 1 < 0.05 else 400.0)

    assert (not ailments(recorded(tmp_path, fate).samples(), limits=LIMITS)) is well


def test_noise_is_well(tmp_path: Path) -> None:
    """Log-normal latencies with a hundredfold tail, and a pause of a collector now and then."""
    draw = np.random.default_rng(7)
    for run in range(25):
        folder = tmp_path / str(run)
        folder.mkdir()
        paused_s = draw.random() * 7

        def fate(at_s: float, paused_s: float = paused_s) -> Fate:
            took_ms = float(8 * draw.lognormal(0, 0.8))
            if paused_s <= at_s < paused_s + 0.3:
                took_ms += (paused_s + 0.3 - at_s) * 1000
            return (Outcome.ACKED, 202, took_ms)

        assert ailments(recorded(folder, fate).samples(), limits=LIMITS) == ()


def test_nothing_at_all_is_not_well(tmp_path: Path) -> None:
    samples = recorded(tmp_path, lambda _: None).samples()
    assert ailments(samples, limits=LIMITS) == ("no request of it has come to an end",)


def test_where_requests_compete_a_no_is_no_failure(tmp_path: Path) -> None:
    lost = recorded(tmp_path, down(since_s=0, until_s=8, code=409)).samples()
    assert ailments(lost, limits=LIMITS, count_refused=False) == ()
    (tmp_path / "more").mkdir()
    broken = recorded(tmp_path / "more", down(since_s=0, until_s=8, code=500)).samples()
    assert len(ailments(broken, limits=LIMITS, count_refused=False)) == 1


def timed_out(at_s: float) -> Fate:
    return (Outcome.INDETERMINATE, Failure.TIMEOUT, 2000.0) if at_s < 2 else WELL


def test_the_limits_are_the_experiments_own(tmp_path: Path) -> None:
    samples = recorded(tmp_path, timed_out).samples()
    assert len(ailments(samples, limits=LIMITS)) == 3
    lenient = WellLimits(error_ratio=0.25, latency_p99_ms=2000)
    assert len(ailments(samples, limits=lenient)) == 2  # It was down, and not steady, all the same.


@pytest.mark.parametrize(
    ("known", "well"),
    [
        (lambda at_s: at_s < 7.9, True),  # the last are under way
        (lambda at_s: at_s < 5, False),  # nothing is answered any more
        (lambda at_s: round(at_s * 40) % 4, False),  # one in four hangs
        (lambda at_s: round(at_s * 40) % 200, True),  # one in two hundred does
    ],
)
def test_what_is_never_answered_ails_the_target_too(
    tmp_path: Path, known: Callable[[float], bool], well: bool
) -> None:
    recording = recorded(tmp_path, lambda at_s: WELL if known(at_s) else None)
    found = unanswered(recording, recording.samples(), now_ns=8 * S)
    assert (not found) is well


def test_a_slow_target_may_take_its_time(tmp_path: Path) -> None:
    recording = recorded(tmp_path, lambda at_s: (Outcome.ACKED, 202, 3000.0) if at_s < 5 else None)
    assert unanswered(recording, recording.samples(), now_ns=8 * S) == ()


@pytest.mark.parametrize(
    ("recovered_ms", "fits"), [(8, False), (25, False), (27, True), (130, True)]
)
def test_a_baseline_that_was_far_slower_than_the_recovery_is_no_yardstick(
    tmp_path: Path, recovered_ms: float, fits: bool
) -> None:
    (tmp_path / "after").mkdir()
    baseline = recorded(tmp_path, lambda _: (Outcome.ACKED, 202, 130.0)).samples()
    after = recorded(
        tmp_path / "after", lambda at_s: (Outcome.ACKED, 202, 500.0 if at_s < 2 else recovered_ms)
    ).samples()
    assert (not no_yardstick(baseline, after)) is fits
    assert no_yardstick(baseline, after[:0]) == ()
