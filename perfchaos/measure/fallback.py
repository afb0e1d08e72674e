"""
How well a target does without a dependency, against how it does with it.

Goodput is what was acknowledged *and* later found persisted: a fallback that acknowledges what it
cannot keep has none. And only what was acknowledged before anybody began to heal is the fallback's:
a request that waits through the outage is answered by the dependency that is back.

What was under way at the heal is held against the fallback, unless it was due so shortly before
that the healthy target would not have answered yet either: that proves nothing, and is left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from perfchaos.ledger import Ledger, are_in
from perfchaos.measure.intervals import Clusters, ratio_interval
from perfchaos.measure.phases import took_ns
from perfchaos.measure.shares import failures_allowed
from perfchaos.phases import Instants, Mask
from perfchaos.recording import Outcome, Window
from perfchaos.recording.reader import Samples
from perfchaos.timeline import Event, Fact, Phase, Span
from perfchaos.verdict import Measurement

_SECOND_NS = 1_000_000_000
_NEVER_NS = int(np.iinfo(np.int64).max)
_NOBODY = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """
    One time that a phase was lived through; of an outage, what came by `healed_ns` counts.

    Then somebody began to undo the fault. It was seen undone, and the phase ended, at `end_ns`.
    """

    start_ns: int
    healed_ns: int
    end_ns: int


def stretches(
    events: Sequence[Event], spans: Sequence[Span], phase: Phase, *, now_ns: int
) -> tuple[Stretch, ...]:
    """Every time that `phase` was lived through, in order; one that lasts reaches to `now_ns`."""
    leases = {
        event.at_ns: event.facts.get("lease") for event in events if event.name == "fault injected"
    }
    found = []
    for span in spans:
        if span.phase is not phase:
            continue
        end_ns = now_ns if span.end_ns is None else span.end_ns
        healed_ns = _NEVER_NS
        if phase is Phase.OUTAGE:
            healed_ns = min([end_ns, *_healings(events, leases.get(span.start_ns, _NOBODY))])
        found.append(Stretch(start_ns=span.start_ns, healed_ns=healed_ns, end_ns=end_ns))
    return tuple(found)


def goodput_ratio(
    samples: Samples,
    baseline: Samples,
    ledger: Ledger,
    phase: Phase,
    *,
    epoch_ns: int,
    lived: Sequence[Stretch],
) -> Measurement:
    """
    The goodput for each request planned in `phase`, over the same of the baseline.

    The requests come at the same rate in both, so this is how much of the good work goes on: 1 if
    the fallback is as good as the dependency, 0 if there is none. The evidence holds its 95 %
    interval (see `perfchaos.measure.intervals`). None without any good work in the baseline.
    """
    met = _Met.of(samples, epoch_ns, lived, usual_ns=usual_ns(baseline))
    now = _goodput(samples[met.decided], met.in_time[met.decided], ledger)
    usual = _goodput(baseline, np.ones(len(baseline), np.bool_), ledger)
    interval = ratio_interval(now, usual)
    return Measurement(
        name="goodput_ratio",
        phase=phase,
        value=_proportion_of(now, usual),
        unit="ratio",
        samples=int(now.trials.sum()),
        evidence={
            "interval_95_low": round(interval[0], 4) if interval else None,
            "interval_95_high": round(interval[1], 4) if interval else None,
            "kept": int(now.successes.sum()),
            "planned": int(now.trials.sum()),
            "only_after_the_heal": int(np.count_nonzero(~met.in_time & met.decided)),
            "under_way_at_the_heal": int(np.count_nonzero(~met.decided)),
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
    baseline: Samples,
    phase: Phase,
    *,
    epoch_ns: int,
    lived: Sequence[Stretch],
    good_ratio: float,
) -> Measurement:
    """
    How long it took in `phase` until requests were served, in seconds; its worst part counts.

    Served is: of the requests of every second from then on, at least `good_ratio` are acknowledged
    before the heal. 0 if it was never otherwise. A part that never got there would have taken as
    long as it lasted, at least: a lower bound. `first_failure_s` is when a client first saw a
    failure.
    """
    met = _Met.of(samples, epoch_ns, lived, usual_ns=usual_ns(baseline))
    parts = [
        part for at, one in enumerate(lived) if (part := _interruption(met, at, one, good_ratio))
    ]
    got_there = all(there for _, there in parts)
    failed = np.flatnonzero(samples["outcome"] != Outcome.ACKED)
    start_ns = min((one.start_ns for one in lived), default=0)
    seen_ns = met.done_ns[failed] - start_ns
    why = "it was not served before the heal, so it would have taken longer than the outage lasted"
    return Measurement(
        name="time_to_fallback_s",
        phase=phase,
        value=max((seconds for seconds, _ in parts), default=None),
        unit="s",
        samples=int(np.count_nonzero(met.decided)),
        evidence={
            "got_there": got_there if parts else None,
            "first_failure_s": round(int(seen_ns.min()) / 1e9, 3) if len(seen_ns) else None,
            "failures": len(failed),
            **({} if got_there else {"why": why}),
        },
        lower_bound=not got_there,
    )


def usual_ns(baseline: Samples) -> int:
    """Within how much 99 of 100 requests of the baseline were acknowledged; 0 if none was."""
    acked_ns = took_ns(baseline[baseline["outcome"] == Outcome.ACKED])
    return int(np.quantile(acked_ns, 0.99, method="inverted_cdf")) if len(acked_ns) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Met:
    """
    Requests and the stretch that each met first, as arrays of the same length.

    `part` is the number of that stretch; `in_time` whether the request's end came before its heal;
    `decided` whether it says anything.
    """

    due_ns: Instants
    done_ns: Instants
    acked: Mask
    part: NDArray[np.int64]
    in_time: Mask
    decided: Mask

    @classmethod
    def of(
        cls, samples: Samples, epoch_ns: int, lived: Sequence[Stretch], *, usual_ns: int
    ) -> Self:
        due_ns = samples["intended_ns"] + epoch_ns
        done_ns = due_ns + took_ns(samples)
        ends_ns = np.array([one.end_ns for one in lived], np.int64)
        part = np.searchsorted(ends_ns, due_ns, side="right").astype(np.int64)
        heals_ns = np.array([*(one.healed_ns for one in lived), _NEVER_NS], np.int64)[part]
        in_time = done_ns <= heals_ns
        return cls(
            due_ns=due_ns,
            done_ns=done_ns,
            acked=samples["outcome"] == Outcome.ACKED,
            part=part,
            in_time=in_time,
            decided=in_time | (due_ns <= heals_ns - usual_ns),
        )


def _interruption(met: _Met, at: int, one: Stretch, good_ratio: float) -> tuple[float, bool] | None:
    """
    Seconds from the start of a stretch until requests were served, and whether they ever were.

    None if nothing was sent meanwhile.
    """
    span_ns = min(one.healed_ns, one.end_ns) - one.start_ns
    at_ns = met.due_ns - one.start_ns
    inside = np.flatnonzero(met.decided & (met.part == at) & (at_ns >= 0) & (at_ns < span_ns))
    inside = inside[np.argsort(at_ns[inside], kind="stable")]
    at_ns, failed = at_ns[inside], ~(met.acked & met.in_time)[inside]
    if not len(at_ns):
        return None
    # Of the second that begins with each request: how many requests, and how many of them failed.
    begin = np.arange(len(at_ns))
    end = np.searchsorted(at_ns, at_ns + _SECOND_NS)
    failures = np.concatenate(([0], np.cumsum(failed)))
    allowed = failures_allowed(end - begin, good_ratio)
    bad = np.flatnonzero(failed & (failures[end] - failures[begin] > allowed))
    # A second that the end cuts short says less the shorter it is.
    bad = bad[at_ns[bad] < span_ns - min(_SECOND_NS, span_ns) // 2]
    if not len(bad):
        return 0.0, True
    acked = np.flatnonzero(~failed)
    served = acked[acked > bad[-1]]
    if not len(served) or end[bad[-1]] == len(at_ns):
        return round(span_ns / 1e9, 3), False
    return round(float(at_ns[served[0]]) / 1e9, 3), True


def _healings(events: Sequence[Event], lease: Fact) -> Iterator[int]:
    """When somebody began to undo it, or at the latest had done so."""
    for event in events:
        if event.facts.get("lease") != lease:
            continue
        if event.name == "fault healed":
            yield event.at_ns
        elif event.name == "fault back to normal":
            after_ms = event.facts.get("after_ms")
            since_ns = round(after_ms * 1e6) if isinstance(after_ms, int | float) else 0
            yield event.at_ns - since_ns


def _goodput(samples: Samples, in_time: Mask, ledger: Ledger) -> Clusters:
    """For each second with a request: how many there were, and how many were acked and kept."""
    acked = (samples["outcome"] == Outcome.ACKED) & in_time
    good = acked & are_in(samples["n"].astype(np.int64), ledger.kept)
    _, second = np.unique(samples["intended_ns"] // _SECOND_NS, return_inverse=True)
    return Clusters(
        trials=np.bincount(second).astype(np.int64),
        successes=np.bincount(second, weights=good).astype(np.int64),
    )


def _proportion_of(now: Clusters, usual: Clusters) -> float | None:
    """One proportion over the other, divided once: a value equal to a limit has to stay equal."""
    trials, usual_successes = int(now.trials.sum()), int(usual.successes.sum())
    if not trials or not usual_successes:
        return None
    return int(now.successes.sum()) * int(usual.trials.sum()) / (trials * usual_successes)


def _over(value: float | None, usual: float | None) -> float | None:
    return None if value is None or not usual else value / usual
