"""
Harm done to the Redis of the target. An action returns when Redis is seen healed.

All but the crash are done at its proxy, once the clients of Redis are seen to come through it.
"""

from typing import Literal

from perfchaos.errors import InvalidInput
from perfchaos.faults import (
    DisabledProxy,
    Proxied,
    Toxic,
    killed,
    proxied,
)
from perfchaos.run import behind_proxy, current, scene
from perfchaos.safety import inject

__all__ = ["crash", "flake", "interrupt", "refuse", "slow_down", "time_out"]

HEAL_WITHIN_S = 5.0
START_WITHIN_S = 30.0


def refuse(duration_s: float) -> None:
    """Cut every connection and refuse new ones for `duration_s` seconds."""
    fault = DisabledProxy(on=_redis())
    with scene().outage(fault, at_most_s=duration_s + HEAL_WITHIN_S) as injected:
        injected.hold(duration_s)


def interrupt(times: int, outage_s: float, pause_s: float) -> None:
    """
    Cut and refuse connections for `outage_s` seconds, `times` times, with `pause_s` between.

    After each, all clients come back at once.
    """
    _require("interrupt", "times", times, times >= 1)
    for number in range(times):
        refuse(outage_s)
        if number < times - 1:
            current().go_on(pause_s)


def time_out(duration_s: float, commands: str = "applied") -> None:
    """
    Let Redis answer nothing for `duration_s` seconds.

    `commands`: "applied" if they reach Redis and only the answers are swallowed, "not_applied" if
    they never arrive. The clients cannot tell one from the other.
    """
    streams: dict[str, Literal["upstream", "downstream"]]
    streams = {"applied": "downstream", "not_applied": "upstream"}
    _require("time_out", "commands", commands, commands in streams)
    fault = Toxic(on=_redis(), type="timeout", stream=streams[commands], attributes={"timeout": 0})
    with scene().outage(fault, at_most_s=duration_s + HEAL_WITHIN_S) as injected:
        injected.hold(duration_s)


def slow_down(duration_s: float, latency_ms: int, jitter_ms: int = 0) -> None:
    """Let every answer come `latency_ms` later, give or take `jitter_ms`, for `duration_s`."""
    fault = Toxic(
        on=_redis(), type="latency", attributes={"latency": latency_ms, "jitter": jitter_ms}
    )
    with scene().outage(fault, at_most_s=duration_s + HEAL_WITHIN_S) as injected:
        injected.hold(duration_s)


def flake(duration_s: float, share: float, how: str = "reset_peer") -> None:
    """
    Let a `share` (0 to 1) of the connections fail for `duration_s` seconds.

    `how`: "reset_peer", or "timeout" for connections that answer nothing.
    """
    _require("flake", "how", how, how in ("reset_peer", "timeout"))
    fault = Toxic(on=_redis(), type=how, toxicity=share, attributes={"timeout": 0})
    with scene().outage(fault, at_most_s=duration_s + HEAL_WITHIN_S) as injected:
        injected.hold(duration_s)


def crash(duration_s: float, emptied: bool = False) -> None:
    """
    Kill the server, refuse connections, and start it again after `duration_s` seconds.

    Behind a proxy a dead server alone would accept connections and close them, which no client of
    a crashed Redis sees; so the proxy refuses them as long as the server is away. It comes back
    with its data or, `emptied`, without any.
    """
    run = scene()
    at_most_s = duration_s + START_WITHIN_S
    refused = DisabledProxy(on=proxied(run.target, "redis"))
    crashed = killed(run.target, "redis", emptied=emptied)
    with run.outage(refused, at_most_s=at_most_s) as behind:
        with inject(crashed, run.net, at_most_s=at_most_s) as injected:
            injected.hold(duration_s)
        behind.see_it_still_there()


def _redis() -> Proxied:
    return behind_proxy(scene(), "redis")


def _require(action: str, name: str, value: object, sensible: bool) -> None:
    if not sensible:
        raise InvalidInput(
            f"actions.redis.{action}",
            [f"{name} is {value!r}"],
            next_step="correct the experiment; the action's description names what it may be",
        )
