"""Harm done to Postgres. An action returns when Postgres is seen healed, not the target."""

from perfchaos.errors import InvalidInput
from perfchaos.faults import (
    DisabledProxy,
    Proxied,
    Toxic,
    frozen,
    held,
    proxied,
)
from perfchaos.faults.ended_postgres import (
    BACK_WITHIN_S,
    SHUTDOWN_WITHIN_S,
    SMART_PATIENCE_S,
    EndedPostgres,
    Ending,
)
from perfchaos.faults.fault import Fault, Undo
from perfchaos.faults.held_connections import HeldConnections
from perfchaos.faults.read_only_postgres import ReadOnlyPostgres
from perfchaos.postgres_client import login_of
from perfchaos.run import behind_proxy, current, scene
from perfchaos.run.recovering import go_on_until_recovered
from perfchaos.target import Target

__all__ = [
    "compare_restarts",
    "crash",
    "exhaust_connections",
    "hang",
    "make_read_only",
    "refuse",
    "restart",
    "slow_down",
]

HEAL_WITHIN_S = 10.0
_BACK_WITHIN_S = SMART_PATIENCE_S + SHUTDOWN_WITHIN_S + BACK_WITHIN_S


def restart(shutdown: str = "fast", down_s: float = 0.0) -> None:
    """
    Shut Postgres down, leave it down for `down_s` seconds, and start it again.

    `shutdown`: "fast" ends the sessions; "smart" waits for them for two seconds first, as they
    keep their service while nobody new gets in.
    """
    ways: dict[str, Ending] = {"fast": "fast", "smart": "smart"}
    if shutdown not in ways:
        raise InvalidInput(
            "actions.postgres.restart",
            [f"shutdown is {shutdown!r}, not 'fast' or 'smart'"],
            next_step="correct the experiment",
        )
    _end(ways[shutdown], down_s)


def crash(down_s: float = 0.0) -> None:
    """Kill all processes of Postgres at once, and start it again `down_s` seconds later."""
    _end("crash", down_s)


def compare_restarts(repeats: int, recovered_within_s: float = 20.0) -> None:
    """
    Restart Postgres gracefully and abruptly, `repeats` times both, in turn first.

    The load goes on after each until the target has recovered.
    """
    if not 2 <= repeats <= 100:
        raise InvalidInput(
            "actions.postgres.compare_restarts",
            [f"repeats is {repeats!r}, not between 2 and 100: one pair tells no interval"],
            next_step="correct the experiment",
        )
    pair: tuple[Ending, Ending] = ("fast", "crash")
    for repeat in range(repeats):
        for how in pair if repeat % 2 == 0 else reversed(pair):
            _end(how, 0.0)
            go_on_until_recovered(current(), since="fault", at_most_s=recovered_within_s)


def refuse(duration_s: float) -> None:
    """Have the port of Postgres refuse connections, those that are open cut, for `duration_s`."""
    _hold(DisabledProxy(on=_on_proxy()), duration_s)


def hang(duration_s: float, by: str = "proxy") -> None:
    """
    Let Postgres accept and never answer for `duration_s` seconds.

    `by`: "proxy" swallows the answers, what was asked is done all the same; "process" pauses the
    server, what was asked is done afterwards, unless its client has gone.
    """
    match by:
        case "proxy":
            _hold(Toxic(on=_on_proxy(), type="timeout", attributes={"timeout": 0}), duration_s)
        case "process":
            _hold(frozen(scene().target, "postgres"), duration_s)
        case _:
            raise InvalidInput(
                "actions.postgres.hang",
                [f"by is {by!r}, not 'proxy' or 'process'"],
                next_step="correct the experiment",
            )


def slow_down(duration_s: float, latency_ms: int, jitter_ms: int = 0) -> None:
    """Delay every answer of Postgres by `latency_ms`, give or take `jitter_ms`."""
    delay = {"latency": latency_ms, "jitter": jitter_ms}
    _hold(Toxic(on=_on_proxy(), type="latency", attributes=delay), duration_s)


def make_read_only(duration_s: float) -> None:
    """End the sessions of Postgres, and let those that come after read only, for `duration_s`."""
    _hold(ReadOnlyPostgres(login=login_of(scene().target)), duration_s)


def exhaust_connections(duration_s: float, evict: bool = True) -> None:
    """
    Hold every connection that Postgres has to give for `duration_s` seconds.

    `evict` ends the target's own sessions and takes their places; without it the target keeps what
    it has and gets no more.
    """
    _hold(HeldConnections(login=login_of(scene().target), evict=evict), duration_s)


def _hold[U: Undo](fault: Fault[U], duration_s: float) -> None:
    with scene().outage(fault, at_most_s=duration_s + HEAL_WITHIN_S) as injected:
        injected.hold(duration_s)


def _end(how: Ending, down_s: float) -> None:
    target = scene().target
    fault = EndedPostgres(of=held(target, "postgres"), how=how, behind=_behind(target))
    with scene().outage(fault, at_most_s=down_s + _BACK_WITHIN_S) as injected:
        injected.hold(down_s)


def _on_proxy() -> Proxied:
    return behind_proxy(scene(), "postgres")


def _behind(target: Target) -> Proxied | None:
    """The proxy that hides from clients whether Postgres listens; None where there is none."""
    through = target.postgres is not None and target.postgres.proxy and target.toxiproxy
    return proxied(target, "postgres") if through else None
