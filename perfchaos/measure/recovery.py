"""
How long a target takes to recover: four times, as pure functions over recorded requests.

All four count from one origin, the moment of the fault or the moment it was undone, and each is
stated with its resolution: the gap to the request intended before, within which the change must
have happened (at 200 requests a second, 5 ms).

    T1  the first committed write: the first request that was acknowledged after one had failed
    T2  sustained: the first moment from which 99.9 % of the requests are acknowledged, for a while
        and without a relapse for as long as was watched
    T3  latency back: the same of 95 % that are acknowledged as fast as in the baseline
    T4  backlog drained: the first moment from which no more wait, unanswered by the service or
        unhandled in its queue, than in the baseline

T2 is the recovery time. T1 flatters a pool in which one connection of thirty lives; T3 and T4 tell
what the clients still pay for after everything succeeds again. A request that waits through the
whole outage and is then acknowledged is a success, a late one, so the moment of a change is when
the first acknowledgement came, never when its request was due.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from perfchaos.measure.requests import Requests
from perfchaos.measure.shares import failures_allowed
from perfchaos.phases import Instants, Mask, after_harm, belong
from perfchaos.recording import sqlstates_of
from perfchaos.timeline import Event, Phase, Span

SUSTAINED_RATIO = 0.999
BAND_RATIO = 0.95
WINDOW_S = 5.0

# The baseline's band ends half again above its 99th percentile, and no less than this above it:
# on a fast target the noise of the machine is larger than the target's own.
_BAND_FACTOR = 1.5
_BAND_SLACK_MS = 10.0

# One request that fails by itself, long after, is no relapse.
_STRAY_COUNT = 1

# A queue is drained when what waits in it arrived within the last half second.
_DRAINED_S = 0.5

type Origin = Literal["fault", "heal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Looks at the target's queue: when, and how many messages waited in it. Failed looks apart."""

    at_ns: Instants
    waiting_count: Instants

    def of_phase(self, spans: Sequence[Span], phase: Phase, *, now_ns: int) -> Self:
        """The looks in `phase`."""
        own = belong(self.at_ns, self.at_ns, spans, phase, now_ns=now_ns)
        return type(self)(at_ns=self.at_ns[own], waiting_count=self.waiting_count[own])


NO_LOOKS = Backlog(at_ns=np.empty(0, np.int64), waiting_count=np.empty(0, np.int64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """
    What the target has to recover from, between two instants in which nothing else is done to it.

    Nothing that is acknowledged before `in_force_ns` proves anything. `until_ns` is the next
    disturbance, if `harmed_next`, or the end of the load; `healed_ns` is None while the fault
    lasts. `kind` is the fault's, None for a baseline that is asked as if it began with one.
    """

    kind: str | None
    fault_ns: int
    in_force_ns: int
    healed_ns: int | None
    until_ns: int
    harmed_next: bool = False

    def origin_ns(self, origin: Origin) -> int | None:
        """Where the times count from; None while a fault to be undone lasts."""
        return self.fault_ns if origin == "fault" else self.healed_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What the healthy target was like: limits that its later self is held against."""

    latency_max_ns: float
    waiting_max: float
    backlog_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A change: `after_s` seconds after the origin, and not yet `resolution_s` before that."""

    after_s: float
    resolution_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """
    The four times of one disturbance; a time is None where the moment did not come.

    `watched_s` is how long after the origin the fate of every request is known,
    `first_failure_after_s` when the first request that failed was due, both from the origin;
    `sqlstates` counts the classes of SQLSTATE in the replies to those that failed.
    """

    disturbance: Disturbance
    origin_ns: int
    watched_s: float
    samples: int
    failed_count: int
    first_failure_after_s: float | None
    sqlstates: Mapping[str, int]
    first_write: Moment | None
    sustained: Moment | None
    latency_back: Moment | None
    drained: Moment | None

    @property
    def complete(self) -> bool:
        """Whether all four moments came."""
        return None not in (self.first_write, self.sustained, self.latency_back, self.drained)


def disturbances(
    events: Sequence[Event], spans: Sequence[Span], *, dependency: str, until_ns: int
) -> tuple[Disturbance, ...]:
    """
    Every fault of `dependency` on the timeline, in order.

    Without any, the baseline as if it began with one: a hypothesis about the recovery is asked of
    the healthy target first, like any other.
    """
    injected = [
        event
        for event in events
        if event.name == "fault injected" and event.facts["dependency"] == dependency
    ]
    if not injected:
        starts_ns = [span.start_ns for span in spans if span.phase is Phase.BASELINE]
        return tuple(
            Disturbance(
                kind=None, fault_ns=at_ns, in_force_ns=at_ns, healed_ns=at_ns, until_ns=until_ns
            )
            for at_ns in starts_ns[:1]
        )
    following: list[Event | None] = [*injected[1:], None]
    return tuple(
        _disturbance(event, events, after, until_ns)
        for event, after in zip(injected, following, strict=True)
    )


def aftermath(found: Iterable[Disturbance | None]) -> Phase:
    """The phase that is measured where there were these; None is one that still lasts."""
    return after_harm(harmed=any(one is None or one.kind is not None for one in found))


def baseline_of(requests: Requests, backlog: Backlog) -> Baseline | None:
    """The limits that the requests and looks of a baseline set; None without any request."""
    if not len(requests.intended_ns):
        return None
    duration_s = np.ptp(requests.intended_ns) / 1e9
    per_s = len(requests.intended_ns) / duration_s if duration_s else 0.0
    p99_ns = float(np.quantile(requests.latency_ns, 0.99, method="inverted_cdf"))
    waiting = float(np.quantile(requests.waiting_count, 0.99, method="inverted_cdf"))
    return Baseline(
        latency_max_ns=max(_BAND_FACTOR * p99_ns, p99_ns + _BAND_SLACK_MS * 1e6),
        # As many as arrive in the slack of the latency may wait as well.
        waiting_max=max(_BAND_FACTOR * waiting, waiting + per_s * _BAND_SLACK_MS / 1e3),
        backlog_max=max(float(np.max(backlog.waiting_count, initial=0)), per_s * _DRAINED_S),
    )


def recovery(
    requests: Requests,
    disturbance: Disturbance,
    baseline: Baseline,
    backlog: Backlog | None,
    *,
    origin: Origin,
    window_s: float = WINDOW_S,
) -> Recovery | None:
    """
    The four times from `origin`; None while the fault lasts that they are to count from.

    `backlog` is None where the target has no queue.
    """
    origin_ns = disturbance.origin_ns(origin)
    if origin_ns is None:
        return None
    # A request that was under way when the fault came can be its victim.
    struck = requests.met_by(
        disturbance.fault_ns, disturbance.until_ns, cut=disturbance.harmed_next
    )
    failed = ~struck.acked & (struck.done_ns >= disturbance.fault_ns)
    failed_ns = struck.intended_ns[failed]
    after_ns = max(origin_ns, disturbance.in_force_ns)
    later = struck.between(after_ns, disturbance.until_ns)

    def moment(good: Mask, ratio: float) -> Moment | None:
        return _sustained(later, good, ratio, window_s, origin_ns)

    latency_back = later.acked & (later.latency_ns <= baseline.latency_max_ns)
    waiting = struck.waiting_count[len(struck.intended_ns) - len(later.intended_ns) :]
    sustained = moment(later.acked, SUSTAINED_RATIO)
    if not len(failed_ns) and sustained is not None:
        # Not one request failed, and that was watched for long enough: nothing to recover from.
        sustained = Moment(after_s=0.0, resolution_s=0.0)
    return Recovery(
        disturbance=disturbance,
        origin_ns=origin_ns,
        watched_s=max(0.0, (struck.known_until_ns - origin_ns) / 1e9),
        samples=len(later.intended_ns),
        failed_count=len(failed_ns),
        first_failure_after_s=(int(failed_ns[0]) - origin_ns) / 1e9 if len(failed_ns) else None,
        sqlstates=sqlstates_of([struck.flags[failed]]),
        first_write=_first_write(later, failed_ns, sustained, origin_ns),
        sustained=sustained,
        latency_back=_not_before(sustained, moment(latency_back, BAND_RATIO)),
        drained=_later(
            _not_before(sustained, moment(waiting <= baseline.waiting_max, BAND_RATIO)),
            _emptied(backlog, baseline, after_ns, disturbance.until_ns, window_s, origin_ns)
            if backlog is not None
            else Moment(after_s=0.0, resolution_s=0.0),
        ),
    )


def _disturbance(
    injected: Event, events: Sequence[Event], following: Event | None, until_ns: int
) -> Disturbance:
    about = [event for event in events if event.facts.get("lease") == injected.facts["lease"]]
    in_force = [event.at_ns for event in about if event.name == "fault in force"]
    healed = [
        event.at_ns for event in about if event.name in ("fault healed", "fault back to normal")
    ]
    return Disturbance(
        kind=str(injected.facts["kind"]),
        fault_ns=injected.at_ns,
        in_force_ns=in_force[0] if in_force else injected.at_ns,
        # What is seen first is nearest to the change: the one is read back, the other pinged.
        healed_ns=min(healed, default=None),
        until_ns=until_ns if following is None else following.at_ns,
        harmed_next=following is not None,
    )


def _first_write(
    requests: Requests, failed_ns: Instants, sustained: Moment | None, origin_ns: int
) -> Moment | None:
    """The first acknowledgement after the first failure; no later than T2, which implies one."""
    if not len(failed_ns):
        return sustained
    acked = np.flatnonzero(requests.acked & (requests.intended_ns > failed_ns[0]))
    if not len(acked):
        return sustained
    at_ns = int(requests.done_ns[acked].min())
    first = _moment(requests, int(acked[0]), at_ns, origin_ns)
    if sustained is None:
        return first
    return min(sustained, first, key=lambda moment: moment.after_s)


def _sustained(
    requests: Requests, good: Mask, ratio: float, window_s: float, origin_ns: int
) -> Moment | None:
    """
    The first request that is good, as `ratio` of those due in the `window_s` from it on are.

    No stretch as long that begins later may be worse, but for a single stray failure.
    """
    window_ns = round(window_s * 1e9)
    bad = np.concatenate([[0], np.cumsum(~good)])
    whole = np.flatnonzero(requests.intended_ns + window_ns <= requests.known_until_ns)
    ends = np.searchsorted(requests.intended_ns, requests.intended_ns[whole] + window_ns)
    allowed = failures_allowed(ends - whole, ratio)
    failures = bad[ends] - bad[whole]
    relapses = np.flatnonzero(failures > np.maximum(allowed, _STRAY_COUNT))
    stable_from = int(relapses[-1]) + 1 if len(relapses) else 0
    holding = np.flatnonzero(good[whole] & (failures <= allowed))
    holding = holding[holding >= stable_from]
    if not len(holding):
        return None
    first, end = int(whole[holding[0]]), int(ends[holding[0]])
    inside = good[first:end]
    return _moment(requests, first, int(requests.done_ns[first:end][inside].min()), origin_ns)


def _emptied(
    backlog: Backlog,
    baseline: Baseline,
    after_ns: int,
    until_ns: int,
    window_s: float,
    origin_ns: int,
) -> Moment | None:
    """The look from which on the queue holds no more than in the baseline, over `window_s`."""
    inside = (backlog.at_ns >= after_ns) & (backlog.at_ns < until_ns)
    at_ns, deep = backlog.at_ns[inside], backlog.waiting_count[inside] > baseline.backlog_max
    last_deep = np.flatnonzero(deep)
    first = int(last_deep[-1]) + 1 if len(last_deep) else 0
    # The last look may be one interval short of the window's end.
    if first >= len(at_ns) or at_ns[-1] - at_ns[first] < window_s * 0.8e9:
        return None
    before_ns = at_ns[first - 1] if first else after_ns
    return _after(int(at_ns[first]), int(before_ns), origin_ns)


def _moment(requests: Requests, index: int, at_ns: int, origin_ns: int) -> Moment:
    before_ns = int(requests.intended_ns[index - 1]) if index else origin_ns
    return _after(at_ns, before_ns, origin_ns)


def _after(at_ns: int, before_ns: int, origin_ns: int) -> Moment:
    return Moment(
        after_s=max(0.0, (at_ns - origin_ns) / 1e9),
        resolution_s=max(0.0, (at_ns - max(before_ns, origin_ns)) / 1e9),
    )


def _not_before(first: Moment | None, second: Moment | None) -> Moment | None:
    """`second`, which cannot come before `first` has: then at the same time."""
    return _later(first, second)


def _later(one: Moment | None, other: Moment | None) -> Moment | None:
    if one is None or other is None:
        return None
    return max(one, other, key=lambda moment: moment.after_s)
