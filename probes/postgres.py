"""What Postgres does by itself, around the proxy, and what the target makes of it."""

from typing import Any

from perfchaos.measure import health, server
from perfchaos.measure.leftovers import left_behind
from perfchaos.run import current
from perfchaos.run.recovering import health_states, postgres_sessions, postgres_states, recovering
from perfchaos.verdict import NotAsked

__all__ = [
    "application_time",
    "healthy_while_failing",
    "idle_in_transaction",
    "reconnect_peak",
    "server_time",
    "sessions_left",
    "stuck_sessions",
]


def server_time(since: str = "fault") -> list[dict[str, Any]]:
    """Seconds until Postgres itself committed a write again."""
    run = current()
    states, found = postgres_states(run), recovering(run, since=since)
    return [server.server_time(states, found.disturbances, origin=found.origin).as_dict()]


def application_time(since: str = "fault") -> list[dict[str, Any]]:
    """Seconds of the recovery time that the application added to the server's."""
    run = current()
    states, found = postgres_states(run), recovering(run, since=since)
    return [server.application_time(states, found.recoveries, origin=found.origin).as_dict()]


def reconnect_peak() -> list[dict[str, Any]]:
    """The most sessions that the target started within a second."""
    run = current()
    found = recovering(run, since="fault")
    return [server.reconnect_peak(postgres_states(run), found.disturbances).as_dict()]


def stuck_sessions() -> list[dict[str, Any]]:
    """Sessions of the target that are stuck in a statement."""
    run = current()
    found = recovering(run, since="fault")
    return [server.stuck_sessions(postgres_states(run), found.disturbances).as_dict()]


def idle_in_transaction() -> list[dict[str, Any]]:
    """Sessions of the target that have left a transaction open."""
    run = current()
    found = recovering(run, since="fault")
    return [server.idle_in_transaction(postgres_states(run), found.disturbances).as_dict()]


def healthy_while_failing() -> list[dict[str, Any]]:
    """Seconds on end in which the target called itself healthy while every write failed."""
    run = current()
    if run.target.health_url is None:
        why = f"target {run.target.name!r} has no health endpoint"
        return [NotAsked(name="healthy_while_failing_s", why=why).as_dict()]
    looks, found = health_states(run), recovering(run, since="fault")
    return [health.healthy_while_failing(looks, found.requests, found.phase).as_dict()]


def sessions_left(settled_s: float = 3.0) -> list[dict[str, Any]]:
    """
    Sessions that an outage has left behind.

    How many more there are in the end than ever in the baseline, and unused for `settled_s`.
    """
    run, name = current(), "sessions_left_count"
    if run.target.postgres is None:
        why = f"target {run.target.name!r} has no Postgres"
        return [NotAsked(name=name, why=why).as_dict()]
    looks = postgres_sessions(run)
    return [
        left_behind(
            looks,
            run.spans(),
            name=name,
            unit="sessions",
            settled_s=settled_s,
            now_ns=run.now_ns,
        ).as_dict()
    ]
