import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfchaos.recording import Failure, Outcome, Recorder, Recording, Waited, Window
from perfchaos.recording.layout import sqlstate_flags
from perfchaos.recording.reader import UnreadableRecordingError, _Distribution

EPOCH_NS = 1_000_000_000_000
SECOND_NS = 1_000_000_000


def write(
    recorder: Recorder,
    n: int,
    at_s: float,
    *,
    lateness_us: int = 10,
    service_us: int = 1000,
    code: int = 200,
    outcome: int = Outcome.ACKED,
    flags: int = 0,
) -> None:
    at_ns = int(at_s * SECOND_NS)
    recorder.write(at_ns, n, lateness_us, service_us, code, outcome, flags)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0.samples"


def test_what_is_written_is_read_while_the_file_grows(path: Path) -> None:
    """Across several growths of the file, by one reader that stays open."""
    with Recorder(path, epoch_ns=EPOCH_NS) as recorder:
        recording = Recording.open(path)
        assert len(recording.samples()) == 0
        for n in range(100_000):
            recorder.write(n, n, 1, 2, 200, Outcome.ACKED, 0)
            if n % 30_000 == 0:
                assert len(recording.samples()) == n + 1
        assert recording.samples()["n"].tolist() == list(range(100_000))
    assert recording.epoch_ns == EPOCH_NS
    assert len(Recording.open(path).samples()) == 100_000


def test_class_of_a_sqlstate_is_counted_and_leaves_the_waiting_alone(path: Path) -> None:
    with Recorder(path, epoch_ns=EPOCH_NS) as recorder:
        for n, reply in enumerate((b"SQLSTATE 57P01", b"SQLSTATE 57P03", b"SQLSTATE 08006", b"")):
            flags = sqlstate_flags(reply) | Waited.FOR_CONNECTION
            write(recorder, n, n / 10, lateness_us=5_000, code=503, outcome=2, flags=flags)
        write(recorder, 4, 0.4, lateness_us=20, code=503, outcome=2, flags=sqlstate_flags(reply))
    whole = Recording.open(path).whole()
    assert whole.by_sqlstate() == {"57": 2, "08": 1}
    assert whole.lateness_ms(1.0) == 0.02


def test_a_torn_last_record_is_not_read(path: Path) -> None:
    """The outcome is written last: a record without one is not complete."""
    with Recorder(path, epoch_ns=EPOCH_NS) as recorder:
        write(recorder, 0, 0.0)
        write(recorder, 1, 0.1, outcome=0)
    assert Recording.open(path).samples()["n"].tolist() == [0]


def test_what_was_complete_survives_sigkill(path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from perfchaos.recording import Recorder\n"
        f"recorder = Recorder(pathlib.Path({str(path)!r}), epoch_ns=0)\n"
        "recorder.planned(1000)\n"
        "for n in range(900): recorder.write(n, n, 1, 1, 200, 1, 0)\n"
        "print('written', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    recording = Recording.open(path)
    assert len(recording.samples()) == 900
    assert recording.in_flight_count == 100


def test_writing_needs_no_numpy() -> None:
    """The process that sends the load starts fast."""
    program = (
        "import sys, perfchaos.workload.__main__\n"
        "heavy = {'numpy', 'rich', 'click', 'httpx', 'chaoslib', 'docker', 'psycopg'}\n"
        "sys.exit(repr(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_recording_is_never_overwritten(path: Path) -> None:
    Recorder(path, epoch_ns=0).close()
    with pytest.raises(FileExistsError):
        Recorder(path, epoch_ns=0)


@pytest.mark.parametrize("content", [b"", b"x" * 10, b"x" * 1000, b"pcsample" + b"\xff" * 100])
def test_what_is_no_recording_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UnreadableRecordingError, match=r"0\.samples"):
        Recording.open(path)


def test_a_missing_recording_is_refused(tmp_path: Path) -> None:
    for missing in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UnreadableRecordingError):
            Recording.open(missing)


def test_a_window_holds_its_start_and_not_its_end(path: Path) -> None:
    with Recorder(path, epoch_ns=EPOCH_NS) as recorder:
        for n in range(5):
            write(recorder, n, float(n))
    window = Recording.open(path).between(EPOCH_NS + SECOND_NS, EPOCH_NS + 3 * SECOND_NS)
    assert window.planned_count == 2
    assert window.rate_per_s == 1.0


def test_disordered_samples_are_found_by_their_intended_time(path: Path) -> None:
    with Recorder(path, epoch_ns=EPOCH_NS) as recorder:
        for n in (3, 0, 2, 1):
            write(recorder, n, float(n))
    window = Recording.open(path).between(EPOCH_NS + SECOND_NS, EPOCH_NS + 3 * SECOND_NS)
    assert window.planned_count == 2


@pytest.fixture
def mixed(path: Path) -> Window:
    """Two acked, one refused, one timed out, one dropped; within three seconds."""
    with Recorder(path, epoch_ns=EPOCH_NS) as recorder:
        write(recorder, 0, 0.0, lateness_us=1000, service_us=9000)
        write(recorder, 1, 0.5, lateness_us=0, service_us=2000)
        write(recorder, 2, 2.0, code=503, outcome=Outcome.REFUSED, service_us=10)
        write(recorder, 3, 2.1, code=Failure.TIMEOUT, outcome=Outcome.INDETERMINATE,
              service_us=5_000_000)  # fmt: skip
        write(recorder, 4, 2.2, code=Failure.TOO_LATE, outcome=Outcome.DROPPED,
              lateness_us=900_000, service_us=0, flags=1)  # fmt: skip
    return Recording.open(path).between(EPOCH_NS, EPOCH_NS + 3 * SECOND_NS)


def test_counts_add_up_to_the_plan(mixed: Window) -> None:
    counts = (
        mixed.acked_count, mixed.refused_count, mixed.indeterminate_count, mixed.dropped_count
    )  # fmt: skip
    assert counts == (2, 1, 1, 1)
    assert mixed.planned_count == sum(counts)
    assert mixed.error_ratio == pytest.approx(3 / 5)


def test_who_waited_in_vain_counts_in_the_latency_and_fast_refusals_do_not(mixed: Window) -> None:
    assert mixed.latency_count == 3
    assert mixed.latency_ms(0.0) == 2.0
    assert mixed.latency_ms(0.5) == 10.0
    assert mixed.latency_ms(1.0) == 5000.01
    assert mixed.service_ms(0.5) == 9.0


def test_waiting_for_a_busy_target_is_not_the_generators_lateness(mixed: Window) -> None:
    assert mixed.lateness_ms(1.0) == 1.0


def test_classes_name_statuses_and_failures(mixed: Window) -> None:
    assert mixed.by_class() == {"HTTP 200": 2, "timeout": 1, "too late": 1, "HTTP 503": 1}


def test_every_second_has_its_row_the_empty_ones_too(mixed: Window) -> None:
    seconds = mixed.per_second()
    assert [second.planned_count for second in seconds] == [2, 0, 3]
    assert seconds[0].latency_max_ms == 10.0
    assert seconds[1].latency_p50_ms is None
    assert (seconds[2].refused_count, seconds[2].dropped_count) == (1, 1)
    assert seconds[2].latency_p99_ms == 5000.01


def test_nothing_measured_is_none_and_not_zero(path: Path) -> None:
    Recorder(path, epoch_ns=EPOCH_NS).close()
    recording = Recording.open(path)
    for window in (recording.whole(), recording.between(EPOCH_NS, EPOCH_NS + SECOND_NS)):
        assert window.planned_count == 0
        assert window.error_ratio is None
        assert window.latency_ms(0.99) is None
        assert window.by_class() == {}
    assert recording.numbers(Outcome.ACKED).tolist() == []


def test_parts_of_several_processes_read_as_one_recording(tmp_path: Path) -> None:
    for part in range(3):
        file = tmp_path / f"{part}.samples"
        with Recorder(file, epoch_ns=EPOCH_NS, part=part, parts=3) as recorder:
            recorder.planned(5)
            for n in range(part, 12, 3):
                write(recorder, n, n / 10, service_us=n)
    recording = Recording.open(tmp_path)
    assert recording.numbers(Outcome.ACKED).tolist() == list(range(12))
    assert recording.planned_count == 15
    assert recording.in_flight_count == 3
    assert recording.whole().latency_ms(1.0) == 0.021
    assert len(recording.samples()) == 12


def test_parts_of_different_runs_are_refused(tmp_path: Path) -> None:
    Recorder(tmp_path / "0.samples", epoch_ns=1, part=0, parts=2).close()
    Recorder(tmp_path / "1.samples", epoch_ns=2, part=1, parts=2).close()
    with pytest.raises(UnreadableRecordingError, match="different runs"):
        Recording.open(tmp_path)


def test_the_epoch_is_known_in_wall_time_too(path: Path) -> None:
    now_ns, wall_ns = time.monotonic_ns(), time.time_ns()
    Recorder(path, epoch_ns=now_ns - SECOND_NS).close()
    assert Recording.open(path).epoch_wall_ns == pytest.approx(wall_ns - SECOND_NS, abs=10**8)


@given(
    values=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=60),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=8),
)
def test_quantiles_are_nearest_ranks_in_whatever_order_they_are_asked(
    values: list[int], shares: list[float]
) -> None:
    distribution = _Distribution([np.array(values, np.uint32)])
    ordered = sorted(values)
    for share in shares:
        rank = max(math.ceil(share * len(values)), 1)
        assert distribution.quantile_ms(share) == ordered[rank - 1] / 1000


@pytest.mark.parametrize("kept", [[0, 2], [0, 1, 1]], ids=["one is missing", "one is doubled"])
def test_parts_that_are_missing_or_doubled_are_refused(tmp_path: Path, kept: list[int]) -> None:
    for file, part in enumerate(kept):
        Recorder(tmp_path / f"{file}.samples", epoch_ns=1, part=part, parts=3).close()
    with pytest.raises(UnreadableRecordingError, match="of a recording of 3"):
        Recording.open(tmp_path)
