"""
What the readings of the queue say: how much waited, how fast it drained, who stopped working.

Every function is pure, over the readings of a run and its phases. Instants are CLOCK_MONOTONIC
nanoseconds. Readings that failed are counted, and never taken for good ones. What is asked of the
time after the outage is, before there has been one, asked of the baseline.
"""

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, pairwise

import numpy as np

from perfchaos.observe.queue import QueueReading, QueueState
from perfchaos.phases import after_harm, belong
from perfchaos.timeline import Phase, Span
from perfchaos.verdict import Measurement

type Readings = Sequence[QueueReading]
type Spans = Sequence[Span]


_GROWTH_COUNT_MIN = 2
_GROWTH_RATIO_MIN = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A reading that succeeded."""

    at_ns: int
    state: QueueState


def backlog(readings: Readings, spans: Spans, phase: Phase) -> Measurement:
    """
    The most messages that waited at once in `phase`; rests on the readings that succeeded.

    The evidence holds the rates, per second, at which messages came and had their effect.
    """
    inside = _in(readings, spans, phase)
    seen = _seen(inside)
    peak = max(seen, key=lambda one: one.state.waiting, default=None)
    start_ns = min((span.start_ns for span in spans if span.phase is phase), default=0)
    return Measurement(
        name="queue_backlog_count",
        phase=phase,
        value=float(peak.state.waiting) if peak else None,
        unit="messages",
        samples=len(seen),
        evidence={
            "peak_at_s": _seconds(peak.at_ns - start_ns) if peak else None,
            "median": statistics.median(one.state.waiting for one in seen) if seen else None,
            "last": seen[-1].state.waiting if seen else None,
            **_rates(seen),
            "looks_failed": len(inside) - len(seen),
        },
    )


def time_to_drain(readings: Readings, spans: Spans) -> Measurement:
    """
    How long after the last heal more waited than ever in the baseline, in seconds.

    The last look that saw more counts, for a backlog may come when the outage is over; it may drain
    after the load has ended. What has not drained so far takes that long at least: a lower bound.
    None where the baseline's own queue grew, so that there is nothing to drain to.
    """
    phase, since_ns = _aftermath(spans)
    seen = _seen(readings, since_ns=since_ns)
    baseline = _baseline(readings, spans)
    level = max((one.state.waiting for one in baseline), default=None)
    deep = [at for at, one in enumerate(seen) if level is not None and one.state.waiting > level]
    drained_at = min(deep[-1] + 1 if deep else 0, len(seen) - 1)
    why = _growth(baseline)
    value = None
    if seen and level is not None and since_ns is not None and why is None:
        value = _seconds(seen[drained_at].at_ns - since_ns)
    return Measurement(
        name="time_to_drain_s",
        phase=phase,
        value=value,
        unit="s",
        samples=len(seen),
        evidence={
            "drained_to": level,
            "waiting_in_the_end": seen[-1].state.waiting if seen else None,
            **_rates(seen[: drained_at + 1]),
            **({"why": why} if why else {}),
        },
        lower_bound=value is not None and bool(deep) and deep[-1] == len(seen) - 1,
    )


def _growth(baseline: Sequence[Seen]) -> str | None:
    """
    In which way the queue grew all through the baseline; None if it did not.

    It did if all looks of its last third saw more than all of its first, by more than a message or
    two and than one of fifty that came.
    """
    third = len(baseline) // 3
    if not third:
        return None
    first = max(one.state.waiting for one in baseline[:third])
    last = min(one.state.waiting for one in baseline[-third:])
    came = _arrived(baseline) or 0
    if last - first <= max(_GROWTH_COUNT_MIN, came * _GROWTH_RATIO_MIN):
        return None
    return (
        f"the queue grew all through the baseline, from {first:,} to {last:,}: what comes is not "
        "worked off, with nothing broken yet"
    )


def stalled_consumers(
    readings: Readings, spans: Spans, phase: Phase, *, after_s: float
) -> Measurement:
    """
    How many consumers took nothing for `after_s` seconds of `phase` while work waited all along.

    Two kinds, named in the evidence. `stalled` goes on asking Redis for something and takes nothing
    new: it is connected and consumes nothing. `silent` has nothing in hand and does not even ask,
    though it did in the baseline, while nobody else takes anything either; one with work in hand
    is busy. Rests on the stretches of `after_s` seconds looked at.
    The consumers of a list do not show what they have in hand: there, let `after_s` be longer than
    the longest piece of work.
    """
    working = {
        consumer.name
        for one in _baseline(readings, spans)
        for consumer in one.state.consumers
        if consumer.idle_ms < after_s * 1000
    }
    found: dict[str, tuple[str, int]] = {}
    stretches_count = 0
    for span in spans:
        if span.phase is not phase:
            continue
        inside = _in(_seen(readings), (span,), phase)
        for stretch in _stretches(inside, after_s):
            stretches_count += 1
            for name, kind in _idlers(stretch, working, after_s=after_s).items():
                found.setdefault(name, (kind, stretch[-1].at_ns - span.start_ns))
    return Measurement(
        name="stalled_consumer_count",
        phase=phase,
        value=float(len(found)) if stretches_count else None,
        unit="consumers",
        samples=stretches_count,
        evidence={
            **{
                kind: ", ".join(sorted(name for name in found if found[name][0] == kind))
                for kind in ("stalled", "silent")
            },
            "found_after_s": _seconds(min(at_ns for _, at_ns in found.values())) if found else None,
        },
    )


def group_missing(readings: Readings, spans: Spans, *, group: str | None) -> Measurement:
    """
    For how many seconds since the last heal the consumer group was not there; 0 where it is none.

    A Redis that comes back empty has forgotten it, and workers that create it only when they start
    consume nothing from then on.
    """
    phase, since_ns = _aftermath(spans)
    seen = _seen(readings, since_ns=since_ns)
    missing_ns = sum(
        after.at_ns - before.at_ns
        for before, after in pairwise(seen)
        if before.state.group_there is False
    )
    return Measurement(
        name="group_missing_s",
        phase=phase,
        value=_seconds(missing_ns) if len(seen) > 1 else None,
        unit="s",
        samples=len(seen),
        evidence={
            "group": group,
            "there_in_the_end": seen[-1].state.group_there if seen else None,
        },
    )


def use_ratio(
    readings: Readings,
    spans: Spans,
    acked_between: Callable[[int, int], int],
    *,
    settled_s: float,
) -> Measurement:
    """
    How much of the acknowledged work goes through the queue again, `settled_s` after the last heal.

    It is the messages that came into the queue for each one acknowledged, relative to the baseline:
    1 if Redis is used as before, 0 if it is still bypassed. `acked_between` counts what was
    acknowledged between two instants. None if nothing can be told, or the key was never there.
    """
    phase, since_ns = _aftermath(spans)
    usual, usual_count = _queued_per_acked(_baseline(readings, spans), acked_between)
    now, acked_count = usual, usual_count
    if phase is Phase.RECOVERY:
        settled_ns = None if since_ns is None else since_ns + round(settled_s * 1e9)
        settled = _in(_seen(readings, since_ns=settled_ns), spans, Phase.RECOVERY)
        now, acked_count = _queued_per_acked(settled, acked_between)
    value = None
    if usual and now is not None:
        value = now / usual
    elif usual == 0 and now is not None and any(one.state.there for one in _seen(readings)):
        value = 1.0  # What it does not use without a fault, it need not use after one.
    return Measurement(
        name="queue_use_ratio",
        phase=phase,
        value=value,
        unit="ratio",
        samples=acked_count,
        evidence={"queued_per_acked": now, "in_the_baseline": usual, "settled_s": settled_s},
    )


def _idlers(stretch: Sequence[Seen], working: set[str], *, after_s: float) -> dict[str, str]:
    """Who took nothing all through `stretch` although work waited, and in which way."""
    if any(one.state.undelivered == 0 or one.state.group_there is False for one in stretch):
        return {}
    nothing_taken = len({one.state.taken for one in stretch}) == 1
    last = stretch[-1].state
    found = {}
    for consumer in last.consumers:
        asks = consumer.idle_ms < after_s * 1000
        takes_none = nothing_taken or (
            consumer.inactive_ms is not None and consumer.inactive_ms >= after_s * 1000
        )
        if asks and takes_none:
            found[consumer.name] = "stalled"
        elif not asks and nothing_taken and not consumer.pending and consumer.name in working:
            found[consumer.name] = "silent"
    if nothing_taken and not last.consumers:
        found["nobody takes from the queue"] = "silent"
    return found


def _stretches(seen: Sequence[Seen], length_s: float) -> Iterator[Sequence[Seen]]:
    """For each reading, those of the `length_s` seconds before it; none that is cut short."""
    first = 0
    for last, one in enumerate(seen):
        while first + 1 <= last and one.at_ns - seen[first + 1].at_ns >= length_s * 1e9:
            first += 1
        if one.at_ns - seen[first].at_ns >= length_s * 1e9:
            yield seen[first : last + 1]


def _queued_per_acked(
    seen: Sequence[Seen], acked_between: Callable[[int, int], int]
) -> tuple[float | None, int]:
    """Messages that came into the queue for each one acknowledged, and how many were."""
    if len(seen) < 2:
        return None, 0
    acked_count = acked_between(seen[0].at_ns, seen[-1].at_ns)
    arrived = _arrived(seen)
    if arrived is None or not acked_count:
        return None, acked_count
    return arrived / acked_count, acked_count


def _rates(seen: Sequence[Seen]) -> dict[str, float | None]:
    """Messages that came, and that had their effect, per second."""
    duration_s = (seen[-1].at_ns - seen[0].at_ns) / 1e9 if seen else 0.0
    if not duration_s:
        return {"arrived_per_s": None, "drained_per_s": None}
    arrived = _arrived(seen)
    if arrived is None:
        return {"arrived_per_s": None, "drained_per_s": None}
    # A server that lost its messages has not drained them; what left in between is not known.
    gone = sum(
        before.state.waiting - after.state.waiting
        for before, after in pairwise(seen)
        if (after.state.arrived or 0) >= (before.state.arrived or 0)
    )
    return {
        "arrived_per_s": round(arrived / duration_s, 1),
        "drained_per_s": round((arrived + gone) / duration_s, 1),
    }


def _arrived(seen: Sequence[Seen]) -> int | None:
    """Messages that came in, None if nobody tells; a server that starts again counts from zero."""
    counts = [one.state.arrived for one in seen]
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        return None
    return sum(max(after - before, 0) for before, after in pairwise(known))


def _aftermath(spans: Spans) -> tuple[Phase, int | None]:
    """
    The phase after the last fault and its start: the baseline as long as nothing was harmed.

    The start is None while the fault is in force.
    """
    phase = after_harm(harmed=any(span.phase is Phase.OUTAGE for span in spans))
    starts = [span.start_ns for span in spans if span.phase is phase]
    return phase, starts[-1] if starts else None


def _baseline(readings: Readings, spans: Spans) -> list[Seen]:
    return _in(_seen(readings), spans, Phase.BASELINE)


def _seen(readings: Iterable[QueueReading], *, since_ns: int | None = 0) -> list[Seen]:
    """The readings that succeeded, from `since_ns` on; none where that never came."""
    if since_ns is None:
        return []
    return [
        Seen(at_ns=reading.at_ns, state=reading.state)
        for reading in readings
        if reading.state is not None and reading.at_ns >= since_ns
    ]


def _in[Look: QueueReading | Seen](looks: Sequence[Look], spans: Spans, phase: Phase) -> list[Look]:
    """The looks in `phase`; one that still lasts has no end."""
    at_ns = np.array([one.at_ns for one in looks], np.int64)
    own = belong(at_ns, at_ns, spans, phase, now_ns=np.iinfo(np.int64).max)
    return list(compress(looks, own))


def _seconds(duration_ns: int) -> float:
    return round(duration_ns / 1e9, 3)
