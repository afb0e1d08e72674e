"""
A server that freezes: whose report tells what customers saw?

The truth is computed: who arrives while the server is frozen waits until it thaws, everybody else
is served at once.
"""

import dataclasses
import math
from collections.abc import Callable

from benchmarks.measuring import Job, Run, run_perfchaos, run_tool
from benchmarks.section import Bar, Section
from benchmarks.tools import Tools

_RATE_PER_S = 200.0
_SHARES = {"p95": 0.95, "p99": 0.99, "p99_9": 0.999}
_OTHERS = (("k6", 32), ("k6", 200), ("vegeta", 32), ("vegeta", 2000), ("hey", 32), ("locust", 32))

Say = Callable[[str], None]


def measure(tools: Tools, pairs_count: int, say: Say) -> Section:
    """The two freezes; `pairs_count` is not needed: the truth is known."""
    del pairs_count
    rows: list[tuple[str, ...]] = []
    bars: list[Bar] = []
    for label, freeze_ms, every_ms, duration_s in (
        ("500 ms every 5 s", 500, 5_000, 30.0),
        ("6 s once", 6_000, 10_000, 18.0),
    ):
        job = Job(
            signed=False,
            workers_count=32,
            duration_s=duration_s,
            rate_per_s=_RATE_PER_S,
            freeze_ms=freeze_ms,
            freeze_every_ms=every_ms,
        )
        ours = run_perfchaos(tools, job)
        truth = true_ms(job, epoch_ns=ours.epoch_ns, server_start_ns=ours.server_start_ns)
        rows += [
            _row(label, "the truth", None, truth, job),
            _row(label, "perfchaos, 32", ours, {}, job),
        ]
        say(str(rows[-2:]))
        bars += _bars(label, ours, truth)
        for name, workers_count in _OTHERS:
            if name in tools.programs and (freeze_ms == 500 or name in {"k6", "vegeta"}):
                run = run_tool(tools, name, dataclasses.replace(job, workers_count=workers_count))
                rows.append(_row(label, f"{name}, {workers_count}", run, {}, job))
                say(str(rows[-1]))
    return Section(
        title="Honesty: a server that freezes",
        method=(
            f"{_RATE_PER_S:g}/s, one run each; the number is that of workers or connections. The"
            " truth is computed from the server's clock and the plan."
        ),
        columns=("freeze", "tool", "served of the plan", "p95 ms", "p99 ms", "p99.9 ms"),
        rows=tuple(rows),
        bars=tuple(bars),
    )


def true_ms(job: Job, *, epoch_ns: int, server_start_ns: int) -> dict[str, float]:
    """The percentiles (nearest rank) of a server that is instant, or frozen."""
    waits_ms = []
    for n in range(int(_RATE_PER_S * job.duration_s)):
        since_start_ms = (epoch_ns - server_start_ns) / 1e6 + n * 1000 / _RATE_PER_S
        into_ms = since_start_ms % job.freeze_every_ms
        frozen = since_start_ms >= job.freeze_every_ms and into_ms < job.freeze_ms
        waits_ms.append(job.freeze_ms - into_ms if frozen else 0.0)
    waits_ms.sort()
    return {name: waits_ms[math.ceil(share * len(waits_ms)) - 1] for name, share in _SHARES.items()}


def _row(
    label: str, name: str, run: Run | None, truth: dict[str, float], job: Job
) -> tuple[str, ...]:
    values = truth if run is None else run.reported_ms
    planned_count = _RATE_PER_S * job.duration_s
    served = "" if run is None else f"{run.served_count / planned_count:.1%}"
    cells = (f"{values[name]:.1f}" if name in values else "–" for name in _SHARES)
    return (label, name, served, *cells)


def _bars(label: str, ours: Run, truth: dict[str, float]) -> list[Bar]:
    worst_ms = max(abs(ours.reported_ms[name] - truth[name]) for name in _SHARES)
    tally = ours.tally
    assert tally is not None
    accounted = (
        tally.acked_count + tally.refused_count + tally.indeterminate_count + tally.dropped_count
    )
    return [
        Bar(
            promise=f"{label}: p95, p99 and p99.9 within 10 ms of the truth at 32 connections",
            measured=f"{worst_ms:.1f} ms off at most",
            met=worst_ms <= 10,
        ),
        Bar(
            promise=f"{label}: planned = acked + refused + indeterminate + dropped",
            measured=f"{tally.planned_count} = {accounted}, {tally.acked_count} acked",
            met=tally.planned_count == accounted == round(_RATE_PER_S * tally.sending_s),
        ),
    ]
