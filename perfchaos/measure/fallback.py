"""
How well a target does without a dependency, against how it does with it.

Goodput is what was acknowledged *and* later found persisted: a fallback that acknowledges what it
cannot keep has none.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from perfchaos.ledger import Ledger, are_in
from perfchaos.measure.intervals import Clusters, ratio_interval
from perfchaos.recording import Outcome, Window
from perfchaos.recording.reader import Samples
from perfchaos.timeline import Phase, Span
from perfchaos.verdict import Measurement

_SECOND_NS = 1_000_000_000


def goodput_ratio(samples: Samples, baseline: Samples, ledger: Ledger, phase: Phase) -> Measurement:
    """
    The goodput for each request planned in `phase`, over the same of the baseline.

    The requests come at the same rate in both, so this is how much of the good work goes on: 1 if
    the fallback is as good as the dependency, 0 if there is none. The evidence holds its 95 %
    interval (see `perfchaos.measure.intervals`). None without any good work in the baseline.
    """
    now, usual = _goodput(samples, ledger), _goodput(baseline, ledger)
    interval = ratio_interval(now, usual)
    return Measurement(
        name="goodput_ratio",
        phase=phase,
        value=_over(now.proportion, usual.proportion),
        unit="ratio",
        samples=len(samples),
        evidence={
            "interval_95_low": round(interval[0], 4) if interval else None,
            "interval_95_high": round(interval[1], 4) if interval else None,
            "kept": int(now.successes.sum()),
            "planned": int(now.trials.sum()),
            "kept_in_the_baseline": int(usual.successes.sum()),
            "planned_in_the_baseline": int(usual.trials.sum()),
            "design_effect": round(now.design_effect, 2),
        },
    )


def latency_inflation(window: Window, baseline: Window, phase: Phase | None) -> Measurement:
    """How many times the 99th percentile of the latency in the baseline it is in `phase`."""
    now_ms, usual_ms = window.latency_ms(0.99), baseline.latency_ms(0.99)
    return Measurement(
        name="latency_p99_inflation",
        phase=phase,
        value=_over(now_ms, usual_ms),
        unit="times",
        samples=min(window.latency_count, baseline.latency_count),
        evidence={"p99_ms": now_ms, "p99_in_the_baseline_ms": usual_ms},
    )


def time_to_fallback(
    samples: Samples,
    epoch_ns: int,
    spans: Sequence[Span],
    phase: Phase,
    *,
    good_ratio: float,
    now_ns: int,
) -> Measurement:
    """
    How long it took in `phase` until requests were served again, in seconds; its worst part counts.

    Served is: of the requests of every second from then on, at least `good_ratio` are acknowledged.
    0 if it was never otherwise. A part that never got there counts with its whole length, which is
    the least it would have taken; `got_there` in the evidence says so. `first_failure_s` is when
    a client first saw a failure.
    """
    parts = [
        _interruption(
            samples, epoch_ns - span.start_ns, span_ns=end_ns - span.start_ns, good=good_ratio
        )
        for span in spans
        if span.phase is phase and (end_ns := span.end_ns or now_ns)
    ]
    longest_s, got_there = max(parts, default=(None, None))
    failed = samples[samples["outcome"] != Outcome.ACKED]
    start_ns = min((span.start_ns for span in spans if span.phase is phase), default=0)
    seen_ns = failed["intended_ns"] + (epoch_ns - start_ns) + _took_ns(failed)
    return Measurement(
        name="time_to_fallback_s",
        phase=phase,
        value=longest_s,
        unit="s",
        samples=len(samples),
        evidence={
            "got_there": got_there,
            "first_failure_s": round(int(seen_ns.min()) / 1e9, 3) if len(seen_ns) else None,
            "failures": len(failed),
        },
    )


def _interruption(
    samples: Samples, offset_ns: int, *, span_ns: int, good: float
) -> tuple[float, bool]:
    """
    Seconds from the start of a span until requests were served, and whether they ever were.

    `offset_ns` brings intended times to the start of the span, `span_ns` is its length.
    """
    at_ns = samples["intended_ns"] + offset_ns
    inside = np.flatnonzero((at_ns >= 0) & (at_ns < span_ns))
    inside = inside[np.argsort(at_ns[inside], kind="stable")]
    at_ns, failed = at_ns[inside], samples["outcome"][inside] != Outcome.ACKED
    # Of the second that begins with each request: how many requests, and how many of them failed.
    begin = np.arange(len(at_ns))
    end = np.searchsorted(at_ns, at_ns + _SECOND_NS)
    failures = np.concatenate(([0], np.cumsum(failed)))
    bad = np.flatnonzero(failed & (failures[end] - failures[begin] > (1 - good) * (end - begin)))
    # A second that the end cuts short says less the shorter it is.
    bad = bad[at_ns[bad] < span_ns - min(_SECOND_NS, span_ns) // 2]
    if not len(bad):
        return 0.0, True
    acked = np.flatnonzero(~failed)
    served = acked[acked > bad[-1]]
    if not len(served) or end[bad[-1]] == len(at_ns):
        return round(span_ns / 1e9, 3), False
    return round(float(at_ns[served[0]]) / 1e9, 3), True


def _took_ns(samples: Samples) -> NDArray[np.int64]:
    """From the intended instant to the end of each request."""
    took_us: NDArray[np.int64] = samples["lateness_us"].astype(np.int64) + samples["service_us"]
    return took_us * 1_000


def _goodput(samples: Samples, ledger: Ledger) -> Clusters:
    """For each second with a request: how many there were, and how many were acked and kept."""
    good = (samples["outcome"] == Outcome.ACKED) & are_in(
        samples["n"].astype(np.int64), ledger.kept
    )
    _, second = np.unique(samples["intended_ns"] // _SECOND_NS, return_inverse=True)
    return Clusters(
        trials=np.bincount(second).astype(np.int64),
        successes=np.bincount(second, weights=good).astype(np.int64),
    )


def _over(value: float | None, usual: float | None) -> float | None:
    return None if value is None or not usual else value / usual
