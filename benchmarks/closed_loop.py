"""CPU per request with 32 requests always in flight: the cost of the client itself."""

import statistics
from collections.abc import Callable

from benchmarks.measuring import Job, Run, run_perfchaos, run_tool
from benchmarks.section import Section, at_most
from benchmarks.tools import Tools

_DURATION_S = 3.0
_SIGNED = {"locust": 0.12, "k6": 0.15, "aiohttp": 0.20, "vegeta": 0.65, "httpx": 0.01}
_STATIC = {"wrk": 1.3, "k9": 0.8, "hey": 0.5}

Say = Callable[[str], None]


def measure(tools: Tools, pairs_count: int, say: Say) -> Section:
    """Pairs of one run of ours and one of theirs, close together; medians of their ratios."""
    rows, bars = [], []
    for signed, others in ((True, _SIGNED), (False, _STATIC)):
        kind = "signed, unique, recorded" if signed else "static"
        job = Job(signed=signed, workers_count=32, duration_s=_DURATION_S)
        for name, limit in others.items():
            if name not in tools.programs and name not in {"aiohttp", "httpx"}:
                rows.append((kind, name, "not on this machine", "", "", ""))
                continue
            ours, theirs = _pairs(tools, name, job, pairs_count)
            ratios = [
                a.cpu_us_per_request / b.cpu_us_per_request
                for a, b in zip(ours, theirs, strict=True)
            ]
            ratio = statistics.median(ratios)
            rows.append(
                (
                    kind,
                    name,
                    f"{_median_us(theirs):.1f}",
                    f"{_median_us(ours):.1f}",
                    f"{ratio:.3f}",
                    f"{min(ratios):.3f}–{max(ratios):.3f}",
                )
            )
            say(f"{kind} vs {name}: {rows[-1]}")
            bars.append(at_most(f"{kind}: CPU ÷ {name}", ratio, limit))
    return Section(
        title="CPU per request, closed loop",
        method=(
            "32 connections, POST of 440 bytes (signed: a UUID of its own and an HMAC of the body),"
            f" {pairs_count} interleaved pairs of {_DURATION_S:g} s each; microseconds of user and"
            " system time per request in the steady middle of a run, start-up left out for"
            " everybody."
        ),
        columns=("request", "tool", "tool, µs", "perfchaos, µs", "median ratio", "range"),
        rows=tuple(rows),
        bars=tuple(bars),
    )


def _pairs(tools: Tools, name: str, job: Job, count: int) -> tuple[list[Run], list[Run]]:
    ours, theirs = [], []
    for _ in range(count):
        ours.append(run_perfchaos(tools, job))
        theirs.append(run_tool(tools, name, job))
    return ours, theirs


def _median_us(runs: list[Run]) -> float:
    return statistics.median(run.cpu_us_per_request for run in runs)
