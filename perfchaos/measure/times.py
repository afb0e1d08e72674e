"""
The recovery times as measurements, the worst of all recoveries of the run.

A moment that did not come takes at least as long as was watched for it: the measurement is then a
lower bound. It breaks a limit that is shorter, and proves nothing about one that is longer.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from perfchaos.measure.paired import difference
from perfchaos.measure.recovery import Moment, Recovery, aftermath
from perfchaos.measure.requests import Requests
from perfchaos.sqlstates import class_label
from perfchaos.timeline import Fact, Phase
from perfchaos.verdict import Measurement

type Recoveries = Sequence[Recovery | None]


def first_write(recoveries: Recoveries) -> Measurement:
    """T1: until the first write was committed through the application."""
    return _worst("first_write_s", recoveries, lambda one: one.first_write)


def recovery_time(recoveries: Recoveries) -> Measurement:
    """T2: until 99.9 % of the requests were acknowledged and stayed so: the recovery time."""
    return _worst("recovery_time_s", recoveries, lambda one: one.sustained)


def latency_recovery(recoveries: Recoveries) -> Measurement:
    """T3: until 95 % were acknowledged as fast as in the baseline."""
    return _worst("latency_recovery_s", recoveries, lambda one: one.latency_back)


def backlog_drain(recoveries: Recoveries) -> Measurement:
    """T4: until no more waited than in the baseline."""
    return _worst("backlog_drain_s", recoveries, lambda one: one.drained)


def success_ratio(requests: Requests, recoveries: Recoveries) -> Measurement:
    """
    The share acknowledged of what was planned after each recovery; after the heal where none came.

    `per_second` in the evidence is the share of each of its first twenty seconds, in per cent.
    """
    stretches = [_after(requests, one) for one in recoveries if one is not None]
    planned = sum(len(one.acked) for one in stretches)
    acked = sum(int(np.count_nonzero(one.acked)) for one in stretches)
    seconds = [ratio for one in stretches for ratio in _per_second(one)]
    return Measurement(
        name="success_ratio",
        phase=aftermath(one.disturbance if one else None for one in recoveries),
        value=acked / planned if planned else None,
        unit="ratio",
        samples=planned,
        evidence={
            "acked": acked,
            "failed": planned - acked,
            "worst_second_ratio": min(seconds, default=None),
            "per_second": " ".join(f"{ratio * 100:.4g}" for ratio in seconds[:20]),
        },
    )


def abrupt_difference(recoveries: Recoveries) -> Measurement:
    """
    How much longer a crash takes to recover from than the graceful restart paired with it.

    Recoveries in the order of the run, two by two a pair of either order. The mean difference, its
    95 % interval in the evidence; None where a pair is missing or has not recovered.
    """
    pairs = [_pair(*two) for two in zip(recoveries[::2], recoveries[1::2], strict=False)]
    whole = [pair for pair in pairs if pair is not None]
    found = difference(whole) if len(whole) == len(pairs) else None
    asked = aftermath(one.disturbance if one else None for one in recoveries) is Phase.BASELINE
    return Measurement(
        name="abrupt_minus_graceful_s",
        phase=aftermath(one.disturbance if one else None for one in recoveries),
        # Nothing was restarted yet, so nothing differs: the healthy baseline.
        value=0.0 if asked else found.mean if found else None,
        unit="s",
        samples=len(recoveries) if asked else len(whole),
        evidence={
            "low_95_s": found.low if found else None,
            "high_95_s": found.high if found else None,
            "graceful_s": " ".join(f"{graceful:.3f}" for graceful, _ in whole),
            "abrupt_s": " ".join(f"{abrupt:.3f}" for _, abrupt in whole),
        },
    )


def _worst(
    name: str,
    recoveries: Recoveries,
    pick: Callable[[Recovery], Moment | None],
) -> Measurement:
    known = [one for one in recoveries if one is not None]
    moments = [moment for one in known if (moment := pick(one)) is not None]
    watched_s = [one.watched_s for one in known if pick(one) is None]
    worst = max(moments, key=lambda moment: moment.after_s, default=None)
    evidence: dict[str, Fact] = {"recoveries": len(recoveries), "recovered": len(moments)}
    if worst is not None:
        evidence["resolution_s"] = round(worst.resolution_s, 4)
        evidence["each_s"] = " ".join(f"{moment.after_s:.3f}" for moment in moments)
    if watched_s:
        evidence["watched_s"] = round(max(watched_s), 3)
        evidence["why"] = f"it had not come when the watching ended, after {max(watched_s):.3g} s"
    least_s = [*watched_s, *(moment.after_s for moment in moments)]
    failures = [
        round(one.first_failure_after_s, 3)
        for one in known
        if one.first_failure_after_s is not None
    ]
    evidence["failed_count"] = sum(one.failed_count for one in known)
    for code, count in sum((Counter(one.sqlstates) for one in known), Counter()).most_common():
        evidence[class_label(code)] = count
    evidence["first_failure_after_s"] = failures[0] if failures else None
    return Measurement(
        name=name,
        phase=aftermath(one.disturbance if one else None for one in recoveries),
        value=max(least_s, default=None),
        unit="s",
        samples=sum(one.samples for one in known),
        evidence=evidence,
        # A fault that still lasts has a recovery to come, which may be the worst.
        lower_bound=bool(least_s) and len(moments) < len(recoveries),
    )


def _after(requests: Requests, one: Recovery) -> Requests:
    disturbance = one.disturbance
    start_ns = disturbance.healed_ns or disturbance.fault_ns
    if one.sustained is not None:
        start_ns = max(start_ns, one.origin_ns + round(one.sustained.after_s * 1e9))
    return requests.until(disturbance.until_ns, cut=disturbance.harmed_next).between(
        start_ns, disturbance.until_ns
    )


def _per_second(requests: Requests) -> list[float]:
    if not len(requests.intended_ns):
        return []
    seconds = (requests.intended_ns - requests.intended_ns[0]) // 1_000_000_000
    planned = np.bincount(seconds)
    acked = np.bincount(seconds, weights=requests.acked)
    return [float(good / all_) for good, all_ in zip(acked, planned, strict=True) if all_]


def _pair(one: Recovery | None, other: Recovery | None) -> tuple[float, float] | None:
    """(graceful, abrupt) recovery times of two recoveries in either order."""
    times = {
        recovered.disturbance.kind == "crash": recovered.sustained.after_s
        for recovered in (one, other)
        if recovered is not None and recovered.sustained is not None
    }
    return (times[False], times[True]) if len(times) == 2 else None
