"""A fixed rate whatever the target does: is it reached, at what cost, and how punctually?"""

import statistics
from collections.abc import Callable

from benchmarks.measuring import Job, Run, run_perfchaos, run_tool
from benchmarks.section import Bar, Section, at_most
from benchmarks.tools import Tools

_DURATION_S = 4.0
_RATES_PER_S = (200.0, 1000.0, 5000.0)
_OTHERS = ("k6", "vegeta", "locust", "aiohttp", "httpx")  # the last cannot hold 1,000/s

Say = Callable[[str], None]


def measure(tools: Tools, pairs_count: int, say: Say) -> Section:
    """Every tool at every rate; ours and k6's in interleaved pairs."""
    rows: list[tuple[str, ...]] = []
    bars: list[Bar] = []
    for rate_per_s in _RATES_PER_S:
        job = Job(signed=True, workers_count=100, duration_s=_DURATION_S, rate_per_s=rate_per_s)
        ours, k6 = [], []
        for _ in range(pairs_count):
            ours.append(run_perfchaos(tools, job))
            k6.append(run_tool(tools, "k6", job))
        rows += [_row("perfchaos", rate_per_s, ours), _row("k6", rate_per_s, k6)]
        say(str(rows[-2:]))
        bars += _bars(rate_per_s, ours, k6)
        for name in _OTHERS[1:] if rate_per_s < 1000 else _OTHERS[1:-1]:
            if name in tools.programs or name in {"aiohttp", "httpx"}:
                rows.append(_row(name, rate_per_s, [run_tool(tools, name, job)]))
                say(str(rows[-1]))
    job = Job(signed=True, workers_count=100, duration_s=_DURATION_S, rate_per_s=20_000.0)
    fast = [run_perfchaos(tools, job) for _ in range(pairs_count)]
    rows.append(_row("perfchaos", 20_000.0, fast))
    say(str(rows[-1]))
    bars += _held(20_000.0, fast)
    return Section(
        title="Open loop",
        method=(
            "POST of 440 bytes with an id and an HMAC of its own; latencies as each tool reports"
            f" them, medians over {pairs_count} runs for perfchaos and k6 (interleaved), one run"
            " for the others. Up to 100 workers or connections."
        ),
        columns=("rate/s", "tool", "reached/s", "CPU of a core", "p50 ms", "p99 ms"),
        rows=tuple(rows),
        bars=tuple(bars),
    )


def _row(name: str, rate_per_s: float, runs: list[Run]) -> tuple[str, ...]:
    def median(values: list[float]) -> float:
        return statistics.median(values)

    return (
        f"{rate_per_s:g}",
        name,
        f"{median([run.rate_per_s for run in runs]):.0f}",
        f"{median([run.cpu_ratio for run in runs]):.0%}",
        f"{median([run.reported_ms.get('p50', float('nan')) for run in runs]):.2f}",
        f"{median([run.reported_ms.get('p99', float('nan')) for run in runs]):.2f}",
    )


def _bars(rate_per_s: float, ours: list[Run], k6: list[Run]) -> list[Bar]:
    cpu = statistics.median(run.cpu_ratio for run in ours)
    if rate_per_s == 1000:
        lateness = [run.lateness_ms for run in ours if run.lateness_ms is not None]
        return [
            at_most(
                "1,000/s: start lateness p50",
                statistics.median(a for a, _ in lateness),
                0.15,
                " ms",
            ),
            at_most(
                "1,000/s: start lateness p99", statistics.median(b for _, b in lateness), 0.5, " ms"
            ),
            at_most("1,000/s: CPU", cpu, 0.15, " of a core"),
        ]
    if rate_per_s == 5000:
        ratios = [
            a.reported_ms["p99"] / b.reported_ms["p99"] for a, b in zip(ours, k6, strict=True)
        ]
        return [
            *_held(rate_per_s, ours),
            at_most("5,000/s: CPU", cpu, 0.60, " of a core"),
            at_most("5,000/s: p99 ÷ k6's", statistics.median(ratios), 0.1),
        ]
    return []


def _held(rate_per_s: float, ours: list[Run]) -> list[Bar]:
    tallies = [run.tally for run in ours if run.tally is not None]
    planned_count = sum(tally.planned_count for tally in tallies)
    dropped_count = sum(tally.dropped_count for tally in tallies)
    served_ratio = sum(run.served_count for run in ours) / planned_count
    lag_ms = statistics.median(tally.lag_p99_ms or 0.0 for tally in tallies)
    return [
        Bar(
            promise=f"{rate_per_s:,.0f}/s: ≥ 99.9 % of the plan sent, none dropped",
            measured=f"{served_ratio:.3%}, {dropped_count} dropped, own lag p99 {lag_ms:.2g} ms",
            met=served_ratio >= 0.999 and dropped_count == 0,
        )
    ]
