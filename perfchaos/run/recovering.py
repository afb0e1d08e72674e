"""
How the run under way recovers, and what its Postgres and its health say meanwhile.

The looks begin when somebody first asks for them, which a hypothesis does before anything is
harmed, and go on until the run is concluded.
"""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perfchaos.errors import InvalidInput
from perfchaos.measure.leftovers import Census
from perfchaos.measure.recovery import (
    Disturbance,
    Origin,
    Recovery,
    aftermath,
    disturbances,
    recovery,
)
from perfchaos.measure.requests import Requests
from perfchaos.observe.health import LOOK_EVERY_S as HEALTH_EVERY_S
from perfchaos.observe.health import HealthLook, HealthState
from perfchaos.observe.postgres import LOOK_EVERY_S as POSTGRES_EVERY_S
from perfchaos.observe.postgres import PostgresLook, PostgresState
from perfchaos.observe.redis import LOOK_EVERY_S as REDIS_EVERY_S
from perfchaos.observe.redis import RedisLook, RedisState
from perfchaos.observe.sampler import Sampler, readings
from perfchaos.postgres_client import login_of
from perfchaos.run.run import Run
from perfchaos.target import Redis
from perfchaos.timeline import Phase

_ORIGINS: Mapping[str, Origin] = {"fault": "fault", "heal": "heal"}
_LOOK_S = 0.25
# A first look that finds no server is done by then, and so is one on a machine that is busy.
_FIRST_LOOK_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovering:
    """
    All that is known of the recoveries so far; one for each disturbance, in order.

    A recovery is None while the fault lasts that it is to count from.
    """

    origin: Origin
    requests: Requests
    disturbances: tuple[Disturbance, ...]
    recoveries: tuple[Recovery | None, ...]

    @property
    def phase(self) -> Phase:
        """What is being measured: the healthy target, or one that was harmed."""
        return aftermath(self.disturbances)


def recovering(run: Run, *, since: str, dependency: str = "postgres") -> Recovering:
    """
    The recoveries from the faults of `dependency`, their times counted `since` "fault" or "heal".

    Raises:
        InvalidInput: `since` is something else.

    """
    origin, until_ns = _origin(since), run.load_ended_ns or _for_ever()
    found = _disturbances(run, dependency, until_ns)
    requests = run.following.requests(until_ns=until_ns)
    return Recovering(
        origin=origin,
        requests=requests,
        disturbances=found,
        recoveries=tuple(_recovery(run, requests, one, origin) for one in found),
    )


def go_on_until_recovered(
    run: Run, *, since: str, at_most_s: float, dependency: str = "postgres"
) -> bool:
    """
    Let the load go on until all four moments of the last recovery came; whether they did in time.

    Raises:
        InvalidInput: `since` is neither "fault" nor "heal".
        Revoked: the run was called off meanwhile.

    """
    origin = _origin(since)
    deadline_s = time.monotonic() + at_most_s
    while (left_s := deadline_s - time.monotonic()) > 0:
        run.go_on(min(left_s, _LOOK_S))
        until_ns = run.load_ended_ns or _for_ever()
        # Only the last is asked about: the others are what they are.
        for last in _disturbances(run, dependency, until_ns)[-1:]:
            requests = run.following.requests(until_ns=until_ns)
            found = _recovery(run, requests, last, origin)
            if found is not None and found.complete:
                return True
    return False


def postgres_states(run: Run) -> tuple[PostgresState, ...]:
    """What the looks at the target's Postgres found so far, one at least."""
    path = _file(run, "postgres")
    if not path.exists():
        look = PostgresLook(login_of(run.target), pid_file=_pid_file(run))
        _watch(run, path, look, interval_s=POSTGRES_EVERY_S)
    states = (PostgresState.of(reading) for reading in readings(path))
    return tuple(state for state in states if state is not None)


def health_states(run: Run) -> tuple[tuple[int, HealthState], ...]:
    """What the target said of its health so far, with the instants; nothing if it says nothing."""
    path = _file(run, "health")
    if run.target.health_url is None:
        return ()
    if not path.exists():
        _watch(run, path, HealthLook(run.target.health_url), interval_s=HEALTH_EVERY_S)
    found = ((reading.at_ns, HealthState.of(reading)) for reading in readings(path))
    return tuple((at_ns, state) for at_ns, state in found if state is not None)


def postgres_sessions(run: Run) -> tuple[Census, ...]:
    """How many sessions of others the target's Postgres had at each look so far."""
    return tuple(
        Census(
            at_ns=state.seen_ns,
            count=state.sessions.connections,
            unused_s=state.sessions.unused_s,
        )
        for state in postgres_states(run)
        if state.sessions is not None
    )


def redis_clients(run: Run, server: Redis) -> tuple[Census, ...]:
    """How many clients of others the target's Redis had at each look so far."""
    path = _file(run, "redis")
    if not path.exists():
        _watch(run, path, RedisLook(server), interval_s=REDIS_EVERY_S)
    found = ((reading.at_ns, RedisState.of(reading)) for reading in readings(path))
    return tuple(
        Census(at_ns=at_ns, count=state.clients, unused_s=state.unused_s)
        for at_ns, state in found
        if state is not None
    )


def _watch(
    run: Run, path: Path, look: PostgresLook | HealthLook | RedisLook, *, interval_s: float
) -> None:
    """Look until the run is concluded, and wait here for the first findings, one at least."""
    sampler = Sampler(path, look, interval_s=interval_s)
    with ExitStack() as both:
        both.enter_context(look)
        both.enter_context(sampler)
        run.companions.push(both.pop_all())
    deadline_s = time.monotonic() + _FIRST_LOOK_WITHIN_S
    run.go_on(4 * interval_s)
    while not sampler.has_looked and time.monotonic() < deadline_s:
        run.go_on(interval_s)


def _origin(since: str) -> Origin:
    if since not in _ORIGINS:
        raise InvalidInput(
            "the recovery's origin",
            [f"since is {since!r}, not 'fault' or 'heal'"],
            next_step="correct the experiment",
        )
    return _ORIGINS[since]


def _disturbances(run: Run, dependency: str, until_ns: int) -> tuple[Disturbance, ...]:
    return disturbances(
        run.timeline.events(), run.spans(), dependency=dependency, until_ns=until_ns
    )


def _recovery(run: Run, requests: Requests, one: Disturbance, origin: Origin) -> Recovery | None:
    baseline = run.following.baseline(requests, run.spans())
    if baseline is None:
        return None
    backlog = run.following.backlog(since_ns=one.fault_ns)
    return recovery(requests, one, baseline, backlog, origin=origin)


def _file(run: Run, name: str) -> Path:
    return run.directory.path / f"{name}.jsonl"


def _pid_file(run: Run) -> Path | None:
    control = run.target.postgres.control if run.target.postgres else None
    return Path(control.name) if control is not None and control.kind == "process" else None


def _for_ever() -> int:
    return int(np.iinfo(np.int64).max)
