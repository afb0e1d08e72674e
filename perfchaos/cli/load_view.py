"""How a load looks on the terminal: one live line while it runs, a page of results after it."""

import sys
import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.live import Live
from rich.text import Text

from perfchaos.figures import amount, number
from perfchaos.recording import Recording
from perfchaos.workload.arrivals import Arrivals
from perfchaos.workload.plan import Plan
from perfchaos.workload.process import Workload
from perfchaos.workload.summary import LoadSummary, Percentiles
from perfchaos.workload.tally import Tally, held_up

_LOOK_S = 1.0
_PLAIN_EVERY_S = 2.0


def watch(plan: Plan, workload: Workload) -> bool:
    """
    Shows progress on stderr until the workload has ended; True if Ctrl-C ended the watching.

    A terminal gets one live line, anything else a plain line every two seconds.
    """
    console = Console(stderr=True)
    recording = Recording.open(workload.recording_path)
    try:
        if console.is_terminal:
            with Live(console=console, refresh_per_second=4, transient=True) as live:
                _follow(plan, workload, recording, _LOOK_S, lambda line: live.update(Text(line)))
        else:
            _follow(
                plan, workload, recording, _PLAIN_EVERY_S, lambda line: print(line, file=sys.stderr)
            )
    except KeyboardInterrupt:
        return True
    return False


def _follow(
    plan: Plan,
    workload: Workload,
    recording: Recording,
    every_s: float,
    show: Callable[[str], None],
) -> None:
    while workload.wait(timeout_s=every_s) is None and workload.alive:
        show(_progress_line(plan, workload, recording, int(every_s * 1e9)))


def _progress_line(plan: Plan, workload: Workload, recording: Recording, span_ns: int) -> str:
    """The last stretch of time, shifted back a little so that fast replies are in."""
    now_ns = time.monotonic_ns()
    window = recording.between(now_ns - span_ns, now_ns)
    elapsed_s = (now_ns - recording.epoch_ns) / 1e9
    of = f"/{plan.sending_s:.0f} s" if plan.sending_s is not None else " s"
    lag_ms = workload.progress.lag_p99_ms if workload.progress is not None else None
    return "  ".join(
        (
            f"{elapsed_s:5.0f}{of}",
            f"{window.rate_per_s or 0.0:8.1f} acked/s",
            f"p50 {_ms(window.latency_ms(0.5))}",
            f"p99 {_ms(window.latency_ms(0.99))}",
            f"errors {_percent(window.error_ratio)}",
            f"in flight {recording.in_flight_count}",
            f"own lag p99 {_ms(lag_ms)}",
        )
    )


def summary_lines(plan: Plan, summary: LoadSummary) -> list[str]:
    """The results, for people."""
    model = (
        "open model"
        if isinstance(plan.load, Arrivals)
        else ("closed model: latencies are not those of arrivals")
    )
    request = plan.request
    balance = (
        f"{summary.planned_count} = {summary.acked_count} acked + {summary.refused_count} refused"
        f" + {summary.indeterminate_count} indeterminate + {summary.dropped_count} dropped"
    )
    if summary.in_flight_count:
        balance += f" + {summary.in_flight_count} whose fate is not known"
    lines = [
        f"{request.method} {request.url}  ({model}, seed {plan.seed})",
        f"  planned     {balance}",
        f"  rate        {summary.rate_per_s or 0.0:.1f} acked/s over {summary.duration_s:.1f} s",
        f"  errors      {_percent(summary.error_ratio)}",
        f"  latency     {_percentiles(summary.latency_ms)}",
        f"  service     {_percentiles(summary.service_ms)}",
        f"  replies     {_counts(summary.classes) or 'none'}",
    ]
    if summary.sqlstates:
        lines.append(f"  reasons     {_counts(summary.sqlstates)}")
    if (tally := summary.generator) is not None:
        lines += [
            f"  bytes       {tally.sent_bytes:,} sent, {tally.received_bytes:,} received",
            f"  generator   {_generator(tally)}",
        ]
    for judged in summary.thresholds:
        mark = "met   " if judged.passed else "FAILED"
        measured = (
            "nothing measured"
            if judged.value is None
            else f"measured {number(judged.value, apart_from=[judged.limit])}"
        )
        lines.append(f"  {mark}      {judged.text} ({measured})")
    lines += [f"  INVALID     {reason}" for reason in summary.invalid_because]
    return lines


def _counts(counts: Mapping[str, int]) -> str:
    return " · ".join(f"{name} {count}" for name, count in counts.items())


def _generator(tally: Tally) -> str:
    lags = (tally.lag_p50_ms, tally.lag_p99_ms, tally.lag_max_ms)
    p50, p99, worst = (_ms(lag) for lag in lags)
    account = f"lag p50 {p50} p99 {p99} max {worst}, {tally.cpu_ratio:.0%} of a core"
    if held_up(tally.held_up_count, tally.parted_count):
        account += f"; {tally.held_up_count} replies waited for its idle connections"
    return account


def _percentiles(values: Percentiles) -> str:
    return "  ".join(
        f"{label} {_ms(value)}"
        for label, value in (
            ("p50", values.p50),
            ("p90", values.p90),
            ("p95", values.p95),
            ("p99", values.p99),
            ("p99.9", values.p99_9),
            ("max", values.max),
        )
    )


def _ms(value: float | None) -> str:
    return amount(value, "ms")


def _percent(ratio: float | None) -> str:
    return amount(ratio, "ratio")
