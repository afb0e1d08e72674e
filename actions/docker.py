"""
Harm done to containers. An action returns when the container is seen healed.

`container` is a handle: `docker:<name>`, `compose:<service>` or `compose:<project>/<service>`. Only
containers that the target file's blast radius names, with a label that they carry, are harmed. What
ends, freezes, cuts off or squeezes a container also starts, thaws, connects or eases it again.
"""

from typing import Any

from perfchaos.faults import (
    Contained,
    ContainerCutOff,
    ContainerImpaired,
    ContainerKilled,
    ContainerPaused,
    ContainerSqueezed,
    ContainerStopped,
    Fault,
    contained,
)
from perfchaos.faults.container_start import StartContainer
from perfchaos.run import scene
from perfchaos.target import Handle

__all__ = ["disconnect", "impair", "kill", "pause", "restart", "squeeze", "stop"]

HEAL_WITHIN_S = 10.0
START_WITHIN_S = 60.0


def kill(container: str, duration_s: float, signal: str = "SIGKILL", emptied: bool = False) -> None:
    """
    Send `signal` to the container's first process, and start it again after `duration_s` seconds.

    `emptied` deletes its data before: the folder named by its label `perfchaos.data`.
    """
    _end(ContainerKilled(of=_of(container), signal=signal, emptied=emptied), duration_s)


def stop(container: str, duration_s: float, grace_s: int = 10) -> None:
    """Stop the container, with `grace_s` seconds to end in order, and start it again later."""
    _end(ContainerStopped(of=_of(container), grace_s=grace_s), duration_s, grace_s)


def restart(container: str, grace_s: int = 10) -> None:
    """Stop the container, with `grace_s` seconds to end in order, and start it at once."""
    _end(ContainerStopped(of=_of(container), grace_s=grace_s), 0.0, grace_s)


def pause(container: str, duration_s: float) -> None:
    """Freeze all processes of the container for `duration_s` seconds."""
    _hold(ContainerPaused(of=_of(container)), duration_s)


def disconnect(container: str, duration_s: float, network: str | None = None) -> None:
    """Take the container off `network`, or off all of its networks, for `duration_s` seconds."""
    _hold(ContainerCutOff(of=_of(container), network=network), duration_s)


def squeeze(
    container: str,
    duration_s: float,
    memory_bytes: int | None = None,
    cpus: float | None = None,
) -> None:
    """Limit the container to `memory_bytes` and `cpus` cores for `duration_s` seconds."""
    fault = ContainerSqueezed(of=_of(container), memory_bytes=memory_bytes, cpus=cpus)
    _hold(fault, duration_s)


def impair(
    container: str,
    duration_s: float,
    delay_ms: float = 0.0,
    jitter_ms: float = 0.0,
    loss_ratio: float = 0.0,
) -> None:
    """Delay every packet the container sends, and lose `loss_ratio` (0 to 1) of them."""
    fault = ContainerImpaired(
        of=_of(container), delay_ms=delay_ms, jitter_ms=jitter_ms, loss_ratio=loss_ratio
    )
    _hold(fault, duration_s)


def _of(container: str) -> Contained:
    return contained(scene().target, Handle.read(container))


def _hold(fault: Fault[Any], duration_s: float) -> None:
    with scene().outage(fault, at_most_s=duration_s + HEAL_WITHIN_S) as injected:
        injected.hold(duration_s)


def _end(fault: Fault[StartContainer], duration_s: float, grace_s: int = 0) -> None:
    at_most_s = grace_s + duration_s + START_WITHIN_S
    with scene().outage(fault, at_most_s=at_most_s) as injected:
        injected.hold(duration_s)
