"""What it costs to record a request, and to ask ten million of them for their percentiles."""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.section import Bar, Section, at_most
from benchmarks.tools import Tools
from perfchaos.recording import Outcome, Recorder, Recording
from perfchaos.recording.layout import HEADER, RECORD
from perfchaos.recording.reader import SAMPLE

_WRITTEN_COUNT = 1_000_000
_READ_COUNT = 10_000_000
_SHARES = (0.5, 0.9, 0.95, 0.99, 0.999, 1.0)

Say = Callable[[str], None]


def measure(tools: Tools, pairs_count: int, say: Say) -> Section:
    """The writer in this process, the reader in one of its own (for its memory)."""
    del tools
    with tempfile.TemporaryDirectory() as folder:
        costs_us = [_write_us(Path(folder) / f"{n}.samples") for n in range(pairs_count)]
        path = Path(folder) / "ten-million.samples"
        _make(path)
        command = [sys.executable, "-m", "benchmarks.recording", str(path)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    percentiles_s, analysis_s, memory_mb = (float(word) for word in said)
    write_us = sorted(costs_us)[len(costs_us) // 2]
    say(f"write {write_us:.2f} us, percentiles {percentiles_s:.2f} s, {memory_mb:.0f} MB")
    return Section(
        title="The recording",
        method=(
            f"Writing: {_WRITTEN_COUNT:,} records in a loop, median of {pairs_count}. Reading:"
            f" {_READ_COUNT:,} records of a memory-mapped file, in a fresh process whose peak"
            " memory includes the mapped file: six exact percentiles of latency; and on top of"
            " them counts, classes, service time, lateness and the series by second."
        ),
        columns=("what", "measured"),
        rows=(
            ("write one record", f"{write_us:.2f} µs, {RECORD.size} bytes"),
            ("p50, p90, p95, p99, p99.9, max", f"{percentiles_s:.2f} s"),
            ("everything", f"{analysis_s:.2f} s, {memory_mb:.0f} MB"),
        ),
        bars=(
            at_most("write one record", write_us, 0.5, " µs"),
            Bar(promise="≤ 24 bytes a record", measured=str(RECORD.size), met=RECORD.size <= 24),
            at_most("exact percentiles of 10 million", percentiles_s, 1.0, " s"),
            at_most("analysis of 10 million", analysis_s, 10.0, " s"),
            at_most("analysis of 10 million", memory_mb, 512.0, " MB"),
        ),
    )


def _write_us(path: Path) -> float:
    with Recorder(path, epoch_ns=0) as recorder:
        write = recorder.write
        begun_s = time.process_time()
        for n in range(_WRITTEN_COUNT):
            write(n, n, 50, 200, 200, 1, 0)
        return (time.process_time() - begun_s) / _WRITTEN_COUNT * 1e6


def _make(path: Path) -> None:
    """Log-normal service times, 1 % timeouts, in order of completion."""
    draw = np.random.default_rng(1)
    with Recorder(path, epoch_ns=0) as recorder:
        recorder.planned(_READ_COUNT)
    block_count = 1_000_000
    with path.open("r+b") as file:
        file.truncate(HEADER.size)
        file.seek(HEADER.size)
        for start in range(0, _READ_COUNT, block_count):
            block = np.zeros(block_count, SAMPLE)
            block["n"] = np.arange(start, start + block_count)
            block["intended_ns"] = block["n"].astype(np.int64) * 50_000
            block["lateness_us"] = draw.integers(5, 300, block_count)
            block["service_us"] = draw.lognormal(8, 1, block_count)
            failed = draw.random(block_count) < 0.01
            block["outcome"] = np.where(failed, Outcome.INDETERMINATE, Outcome.ACKED)
            block["code"] = np.where(failed, 1, 200)
            done_us = block["intended_ns"] // 1000 + block["lateness_us"] + block["service_us"]
            file.write(block[np.argsort(done_us)].tobytes())


def _read(path: Path) -> None:
    begun_s = time.perf_counter()
    window = Recording.open(path).between(0, _READ_COUNT * 50_000)
    for share in _SHARES:
        window.latency_ms(share)
    percentiles_s = time.perf_counter() - begun_s
    window.per_second()
    window.by_class()
    for share in _SHARES:
        window.service_ms(share)
        window.lateness_ms(share)
    _ = (window.acked_count, window.indeterminate_count, window.error_ratio, window.rate_per_s)
    analysis_s = time.perf_counter() - begun_s
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(percentiles_s, analysis_s, memory_mb)


if __name__ == "__main__":
    _read(Path(sys.argv[1]))
