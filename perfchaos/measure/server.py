"""
What Postgres itself took, apart from what the application took on top of it.

Pure functions over looks at the server. The server's times count from
the moment of the fault (or of its undoing) like the application's, so the difference of the two is
what a pool, a health check or a back-off adds.
"""

from collections.abc import Callable, Sequence

from perfchaos.measure.recovery import Disturbance, Moment, Origin, Recovery, aftermath
from perfchaos.observe.postgres import PostgresState, Sessions
from perfchaos.sqlstates import counted_by_class
from perfchaos.timeline import Fact
from perfchaos.verdict import Measurement

type States = Sequence[PostgresState]


def back(
    states: States,
    disturbance: Disturbance,
    well: Callable[[PostgresState], bool],
    *,
    origin: Origin,
) -> Moment | None:
    """
    When the server was first seen `well` again; at once if it was never seen otherwise.

    None if it was not, or while the fault lasts that the time is to count from.
    """
    origin_ns = disturbance.origin_ns(origin)
    looked = [s for s in states if disturbance.fault_ns <= s.seen_ns < disturbance.until_ns]
    if origin_ns is None or not looked:
        return None
    ill = [index for index, state in enumerate(looked) if not well(state) or _missed(state)]
    if not ill:
        return Moment(after_s=0.0, resolution_s=0.0)
    # It is back after the first time it was ill, or after the last: one look alone is no relapse.
    relapses = [index for index in ill if index - 1 in ill]
    for index in range(max([ill[0], *relapses]), len(looked)):
        if well(looked[index]):
            last = looked[index - 1]
            before_ns = looked[index].missed_ns or last.missed_ns or last.seen_ns
            return Moment(
                after_s=max(0.0, (looked[index].seen_ns - origin_ns) / 1e9),
                resolution_s=(looked[index].seen_ns - before_ns) / 1e9,
            )
    return None


def server_time(
    states: States, disturbances: Sequence[Disturbance], *, origin: Origin
) -> Measurement:
    """
    Until Postgres itself committed a write again; when its process and sessions were back.

    A lower bound where it was not, as long as it was watched.
    """

    def worst(well: Callable[[PostgresState], bool]) -> Moment | None:
        moments = (back(states, one, well, origin=origin) for one in disturbances)
        found = [moment for moment in moments if moment is not None]
        return max(found, key=lambda moment: moment.after_s, default=None)

    writes = worst(lambda state: state.writes)
    away_s = [
        _watched_s(states, one, origin)
        for one in disturbances
        if back(states, one, lambda state: state.writes, origin=origin) is None
    ]
    # Where no pid file tells of a process, as with containers, nothing is known of its return.
    told = any(state.process is not None for state in states)
    process = worst(lambda state: state.process is not False) if told else None
    accepts = worst(lambda state: state.accepts)
    least_s = [*([writes.after_s] if writes else []), *(s for s in away_s if s is not None)]
    return Measurement(
        name="server_time_s",
        phase=aftermath(disturbances),
        value=max(least_s, default=None),
        unit="s",
        samples=len(states),
        evidence={
            "process_back_s": process.after_s if process else None,
            "accepts_s": accepts.after_s if accepts else None,
            "writes_s": writes.after_s if writes else None,
            "resolution_s": writes.resolution_s if writes else None,
            **({"why": "it did not write when the watching ended"} if away_s else {}),
            **_complaints(states, disturbances),
        },
        lower_bound=bool(least_s and away_s),
    )


def application_time(
    states: States, recoveries: Sequence[Recovery | None], *, origin: Origin
) -> Measurement:
    """
    What the application took on top of the server: T2 less the server's own time.

    A lower bound where it did not recover, as long as it was watched after the server was back.
    """
    known = [one for one in recoveries if one is not None]
    server = [
        back(states, one.disturbance, lambda state: state.writes, origin=origin) for one in known
    ]
    added_s = [
        max(0.0, (one.sustained.after_s if one.sustained else one.watched_s) - own.after_s)
        for one, own in zip(known, server, strict=True)
        if own is not None
    ]
    never = sum(one.sustained is None for one in known)
    return Measurement(
        name="application_time_s",
        phase=aftermath(one.disturbance if one else None for one in recoveries),
        value=max(added_s) if added_s and len(added_s) == len(recoveries) else None,
        unit="s",
        samples=sum(one.samples for one in known),
        evidence={
            "each_s": " ".join(f"{seconds:.3f}" for seconds in added_s),
            **(
                {"why": "the application had not recovered when the watching ended"}
                if never
                else {}
            ),
        },
        lower_bound=never > 0,
    )


def reconnect_peak(states: States, disturbances: Sequence[Disturbance]) -> Measurement:
    """The most sessions the target started within one second after the fault."""
    return _sessions("reconnect_peak_count", states, disturbances, lambda s: s.started, max)


def stuck_sessions(states: States, disturbances: Sequence[Disturbance]) -> Measurement:
    """Sessions of the target in one statement for more than two seconds, in the end."""
    return _sessions("stuck_count", states, disturbances, lambda s: s.stuck, _last)


def idle_in_transaction(states: States, disturbances: Sequence[Disturbance]) -> Measurement:
    """Sessions of the target that have left a transaction open for over a second, in the end."""
    return _sessions("idle_in_transaction_count", states, disturbances, _idle, _last)


def _idle(sessions: Sessions) -> int:
    return sessions.idle_in_transaction


def _last(values: Sequence[int]) -> int:
    return values[-1]


def _missed(state: PostgresState) -> bool:
    """Whether the look met a server that did not write before it met one that did."""
    return state.missed_ns is not None


def _sessions(
    name: str,
    states: States,
    disturbances: Sequence[Disturbance],
    pick: Callable[[Sessions], int],
    of: Callable[[Sequence[int]], int],
) -> Measurement:
    since_ns = min((one.fault_ns for one in disturbances), default=0)
    seen = [s.sessions for s in states if s.seen_ns >= since_ns and s.sessions is not None]
    return Measurement(
        name=name,
        phase=aftermath(disturbances),
        value=float(of([pick(one) for one in seen])) if seen else None,
        unit="sessions",
        samples=len(seen),
        evidence={
            "connections_peak": max((one.connections for one in seen), default=None),
            "connections_last": seen[-1].connections if seen else None,
        },
    )


def _watched_s(states: States, one: Disturbance, origin: Origin) -> float | None:
    """For how long it is known what the server did; None where that cannot be told."""
    origin_ns = one.origin_ns(origin)
    seen_ns = [s.seen_ns for s in states if one.fault_ns <= s.seen_ns < one.until_ns]
    if origin_ns is None or not seen_ns:
        return None
    return max(0.0, (seen_ns[-1] - origin_ns) / 1e9)


def _complaints(states: States, disturbances: Sequence[Disturbance]) -> dict[str, Fact]:
    since_ns = min((one.fault_ns for one in disturbances), default=0)
    later = [state for state in states if state.seen_ns >= since_ns]
    said = dict.fromkeys(state.said for state in later if state.said)
    codes = [state.sqlstate for state in later if state.sqlstate]
    return {**counted_by_class(codes), "said": " | ".join(list(said)[:3])}
