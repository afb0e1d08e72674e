"""
What Postgres itself took, apart from what the application took on top of it.

Pure functions over looks at the server and at the target's health. The server's times count from
the moment of the fault (or of its undoing) like the application's, so the difference of the two is
what a pool, a health check or a back-off adds.
"""

from collections.abc import Callable, Sequence

import numpy as np

from perfchaos.measure.recovery import Disturbance, Moment, Origin, Recovery, Requests
from perfchaos.observe.health import HealthState
from perfchaos.observe.postgres import PostgresState, Sessions
from perfchaos.sqlstates import class_label
from perfchaos.timeline import Fact, Phase
from perfchaos.verdict import Measurement

# A health check that is this old may still say what was true before.
_AROUND_NS = 500_000_000
_ALL_FAIL_RATIO = 0.05
_JUDGED_MIN = 10

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
    for index in range(ill[0], len(looked)):
        if well(looked[index]):
            before_ns = looked[index].missed_ns or looked[index - 1].seen_ns
            return Moment(
                after_s=max(0.0, (looked[index].seen_ns - origin_ns) / 1e9),
                resolution_s=(looked[index].seen_ns - before_ns) / 1e9,
            )
    return None


def server_time(
    states: States, disturbances: Sequence[Disturbance], *, origin: Origin, proven_after_s: float
) -> Measurement:
    """Until Postgres itself committed a write again; when its process and sessions were back."""

    def worst(well: Callable[[PostgresState], bool]) -> tuple[Moment | None, bool]:
        moments = [back(states, one, well, origin=origin) for one in disturbances]
        found = [moment for moment in moments if moment is not None]
        complete = bool(moments) and len(found) == len(moments)
        return max(found, key=lambda moment: moment.after_s, default=None), complete

    writes, complete = worst(lambda state: state.writes)
    # Where no pid file tells of a process, as with containers, nothing is known of its return.
    told = any(state.process is not None for state in states)
    process = worst(lambda state: state.process is not False)[0] if told else None
    accepts, _ = worst(lambda state: state.accepts)
    watched_s = _watched_s(states, disturbances, origin)
    value = writes.after_s if writes is not None and complete else None
    if value is None and watched_s > proven_after_s:
        value = watched_s
    return Measurement(
        name="server_time_s",
        phase=_phase(disturbances),
        value=value,
        unit="s",
        samples=len(states),
        evidence={
            "process_back_s": process.after_s if process else None,
            "accepts_s": accepts.after_s if accepts else None,
            "writes_s": writes.after_s if writes else None,
            "resolution_s": writes.resolution_s if writes else None,
            **_complaints(states, disturbances),
        },
    )


def application_time(
    states: States, recoveries: Sequence[Recovery | None], *, origin: Origin, proven_after_s: float
) -> Measurement:
    """What the application took on top of the server: T2 less the server's own time."""
    added = [_added_s(states, one, origin, proven_after_s) for one in recoveries if one is not None]
    known = [seconds for seconds in added if seconds is not None]
    complete = bool(recoveries) and len(known) == len(recoveries)
    return Measurement(
        name="application_time_s",
        phase=_phase([one.disturbance for one in recoveries if one is not None]),
        value=max(known) if complete else None,
        unit="s",
        samples=sum(one.samples for one in recoveries if one is not None),
        evidence={"each_s": " ".join(f"{seconds:.3f}" for seconds in known)},
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


def healthy_while_failing(
    health: Sequence[tuple[int, HealthState]], requests: Requests, phase: Phase
) -> Measurement:
    """
    The longest stretch in which the target called itself healthy while every write failed.

    `health` are looks with their instants. A look is a false one if fewer than one in twenty of the
    requests due within half a second around it were acknowledged.
    """
    judged = [(at_ns, state, _fails_around(requests, at_ns)) for at_ns, state in health]
    known = [
        (at_ns, state.healthy and fails) for at_ns, state, fails in judged if fails is not None
    ]
    longest_ns, since_ns = 0, None
    for at_ns, false in known:
        since_ns = (since_ns or at_ns) if false else None
        longest_ns = max(longest_ns, at_ns - since_ns if since_ns else 0)
    codes = [code for _, state in health for code in state.sqlstates.split(",") if code]
    return Measurement(
        name="healthy_while_failing_s",
        phase=phase,
        value=longest_ns / 1e9 if known else None,
        unit="s",
        samples=len(known),
        evidence={
            "false_looks": sum(false for _, false in known),
            "unhealthy_looks": sum(not state.healthy for _, state in health),
            **_by_class(codes),
        },
    )


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
        phase=_phase(disturbances),
        value=float(of([pick(one) for one in seen])) if seen else None,
        unit="sessions",
        samples=len(seen),
        evidence={
            "connections_peak": max((one.connections for one in seen), default=None),
            "connections_last": seen[-1].connections if seen else None,
        },
    )


def _added_s(states: States, one: Recovery, origin: Origin, proven_after_s: float) -> float | None:
    server = back(states, one.disturbance, lambda state: state.writes, origin=origin)
    if server is None:
        return None
    if one.sustained is not None:
        return max(0.0, one.sustained.after_s - server.after_s)
    left_s = one.watched_s - server.after_s
    return left_s if left_s > proven_after_s else None


def _watched_s(states: States, disturbances: Sequence[Disturbance], origin: Origin) -> float:
    origins = [ns for one in disturbances if (ns := one.origin_ns(origin)) is not None]
    return (states[-1].seen_ns - origins[-1]) / 1e9 if origins and states else 0.0


def _complaints(states: States, disturbances: Sequence[Disturbance]) -> dict[str, Fact]:
    since_ns = min((one.fault_ns for one in disturbances), default=0)
    later = [state for state in states if state.seen_ns >= since_ns]
    said = dict.fromkeys(state.said for state in later if state.said)
    codes = [state.sqlstate for state in later if state.sqlstate]
    return {**_by_class(codes), "said": " | ".join(list(said)[:3])}


def _by_class(codes: Sequence[str]) -> dict[str, Fact]:
    """Counts of SQLSTATEs by class: `sqlstate 57 operator intervention: 3 (57P01)`."""
    found: dict[str, Fact] = {}
    for prefix in sorted({code[:2] for code in codes}):
        inside = [code for code in codes if code[:2] == prefix]
        found[class_label(prefix)] = f"{len(inside)} ({', '.join(sorted(set(inside)))})"
    return found


def _fails_around(requests: Requests, at_ns: int) -> bool | None:
    """Whether every write fails around an instant; None where too few tell."""
    around = requests.between(at_ns - _AROUND_NS, at_ns + _AROUND_NS)
    if len(around.acked) < _JUDGED_MIN:
        return None
    return bool(np.mean(around.acked) < _ALL_FAIL_RATIO)


def _phase(disturbances: Sequence[Disturbance]) -> Phase:
    harmed = any(one.kind is not None for one in disturbances)
    return Phase.RECOVERY if harmed else Phase.BASELINE
