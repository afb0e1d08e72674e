"""
Whether a baseline is well in itself, before anything is compared with it.

A target that is down or slow in its baseline makes every later measurement look good that is taken
relative to it, and every recovery time that ends when all is as it was. So errors, latency and
steadiness are asked of every baseline, whatever else an experiment asks.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from perfchaos.measure.phases import took_ns
from perfchaos.measure.shares import failures_allowed
from perfchaos.phases import Instants, Mask
from perfchaos.recording import Outcome, Recording
from perfchaos.recording.layout import class_of
from perfchaos.recording.reader import Samples

# One failure alone is no ailment, however few the requests.
_STRAY_COUNT = 1

# A stretch is a second, or as many requests as tell something; the next begins half a second later.
_STRETCH_NS = 1_000_000_000
_STEP_NS = 500_000_000
_STRETCH_COUNT = 10
_DOWN_SHARE = 0.5

# Half of a stretch may take so much longer than half of another: more is no noise of a machine.
_UNSTEADY_FACTOR = 3.0
_UNSTEADY_MS = 50.0

# Who waits longer than this, and than twice what others wait, is not just being served.
_UNANSWERED_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WellLimits:
    """What is still a well baseline; equality is well."""

    error_ratio: float = 0.01
    latency_p99_ms: float = 1000.0


def ailments(
    baseline: Samples, *, limits: WellLimits, count_refused: bool = True
) -> tuple[str, ...]:
    """
    What ails the target in its `baseline`, in words; empty if it is well.

    Without `count_refused` only what was not answered at all, or with a status of 500 and above, is
    a failure: where requests compete, a no may be right.
    """
    if not len(baseline):
        return ("no request of it has come to an end",)
    ordered = baseline[np.argsort(baseline["intended_ns"], kind="stable")]
    failed = ordered["outcome"] != Outcome.ACKED
    if not count_refused:
        failed &= (ordered["code"] < 100) | (ordered["code"] >= 500)
    return (*_errors(ordered, failed, limits), *_latency(ordered, limits))


def unanswered(recording: Recording, baseline: Samples, *, now_ns: int) -> tuple[str, ...]:
    """
    What ails a target that leaves requests without an answer, as long as their fate is not known.

    They are in no sample yet, and in none of the figures.
    """
    samples = recording.samples()
    if not len(samples):
        return ()
    patience_ns = _UNANSWERED_S * 1e9
    if len(baseline):
        usual_ns = np.quantile(took_ns(baseline), 0.99, method="inverted_cdf")
        patience_ns = max(patience_ns, 2 * float(usual_ns))
    by_number = samples[np.argsort(samples["n"], kind="stable")]
    numbers = by_number["n"].astype(np.int64)
    due_ns = by_number["intended_ns"] + recording.epoch_ns
    # Whoever is missing was due before the next one that is not.
    missing = np.setdiff1d(np.arange(numbers[-1]), numbers, assume_unique=True)
    due_by_ns = due_ns[np.searchsorted(numbers, missing)]
    waiting = int(np.count_nonzero(now_ns - due_by_ns > patience_ns))
    silent_ns = now_ns - int(due_ns[-1])
    behind = recording.planned_count - int(numbers[-1]) - 1
    if silent_ns > patience_ns and behind > _STRAY_COUNT:
        waiting += behind
    if waiting <= max(_STRAY_COUNT, failures_allowed(len(samples), 0.99)):
        return ()
    return (f"{waiting} requests have waited for an answer for {patience_ns / 1e9:.3g} s and more",)


def no_yardstick(baseline: Samples, recovered: Samples) -> tuple[str, ...]:
    """What speaks against the baseline once the target has recovered: it is far faster then."""
    before_ms, after_ms = _median_ms(baseline), _median_ms(recovered[len(recovered) // 2 :])
    if before_ms is None or after_ms is None or not _far_above(before_ms, after_ms):
        return ()
    why = (
        f"half of its requests took {before_ms:.3g} ms and more, and {after_ms:.3g} ms once the "
        "target had recovered: it was no measure of what is usual"
    )
    return (why,)


def _errors(ordered: Samples, failed: Mask, limits: WellLimits) -> Iterator[str]:
    count = int(np.count_nonzero(failed))
    if count > max(_STRAY_COUNT, failures_allowed(len(ordered), 1 - limits.error_ratio)):
        kinds = Counter(class_of(code) for code in ordered["code"][failed].tolist())
        named = ", ".join(f"{kind}: {seen:,}" for kind, seen in kinds.most_common(3))
        yield f"{count:,} of {len(ordered):,} requests were not acknowledged ({named})"
        return
    down = np.zeros(len(ordered), np.bool_)
    for start, end in _stretches(ordered["intended_ns"]):
        if np.count_nonzero(failed[start:end]) > _DOWN_SHARE * (end - start):
            down[start:end] = failed[start:end]
    if down.any():
        at_s = (ordered["intended_ns"][down] - ordered["intended_ns"][0]) / 1e9
        yield f"most requests failed between {at_s[0]:.1f} s and {at_s[-1]:.1f} s of it"


def _latency(ordered: Samples, limits: WellLimits) -> Iterator[str]:
    latencies_ms = took_ns(ordered) / 1e6
    # A refusal is often fast: it tells nothing of how long the work takes.
    served = ordered["outcome"] != Outcome.REFUSED
    if not served.any():
        return
    p99_ms = float(np.quantile(latencies_ms[served], 0.99, method="inverted_cdf"))
    if p99_ms > limits.latency_p99_ms:
        yield (
            f"1 % of its requests took {p99_ms:,.0f} ms and more "
            f"(limit {limits.latency_p99_ms:,g} ms)"
        )
    medians_ms = [
        float(np.median(latencies_ms[start:end][served[start:end]]))
        for start, end in _stretches(ordered["intended_ns"])
        if served[start:end].any()
    ]
    slow_ms, fast_ms = max(medians_ms), min(medians_ms)
    if _far_above(slow_ms, fast_ms):
        yield (
            f"it was not steady: half of the requests of a second took {slow_ms:.3g} ms and more, "
            f"and {fast_ms:.3g} ms in another"
        )


def _stretches(due_ns: Instants) -> Iterator[tuple[int, int]]:
    """Overlapping stretches of requests that together reach over all of them."""
    start = 0
    while True:
        end = int(np.searchsorted(due_ns, due_ns[start] + _STRETCH_NS))
        end = max(end, start + _STRETCH_COUNT)
        if end >= len(due_ns):
            # The last one is as long as the others, and reaches to the end.
            back = int(np.searchsorted(due_ns, due_ns[-1] - _STRETCH_NS, side="right"))
            yield max(0, min(back, len(due_ns) - _STRETCH_COUNT)), len(due_ns)
            return
        yield start, end
        start = max(start + 1, int(np.searchsorted(due_ns, due_ns[start] + _STEP_NS)))


def _median_ms(samples: Samples) -> float | None:
    acked = samples[samples["outcome"] == Outcome.ACKED]
    return float(np.median(took_ns(acked))) / 1e6 if len(acked) >= _STRETCH_COUNT else None


def _far_above(slow_ms: float, fast_ms: float) -> bool:
    return slow_ms > _UNSTEADY_FACTOR * fast_ms + _UNSTEADY_MS
