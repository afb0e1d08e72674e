"""
How a container stands, as the engine reports it now.

`container` is a handle: `docker:<name>`, `compose:<service>` or `compose:<project>/<service>`. Each
probe reads and changes nothing. What cannot be read is measured as nothing, which no threshold
passes.
"""

from collections.abc import Callable
from typing import Any

from perfchaos.containers import ContainerEngine, ContainerState, cpus_used, memory_used_bytes
from perfchaos.errors import PerfchaosError
from perfchaos.faults import contained
from perfchaos.run import current
from perfchaos.target import Handle
from perfchaos.verdict import Measurement

__all__ = ["cpus", "healthy", "memory_bytes", "oom_killed", "restarts", "running"]


def running(container: str) -> list[dict[str, Any]]:
    """1 if the container runs and is not paused, else 0."""
    return _of_state("container_running", container, "", lambda state: float(state.running))


def healthy(container: str) -> list[dict[str, Any]]:
    """1 if its health check passes, 0 if it does not; nothing if it has none."""
    return _of_state(
        "container_healthy",
        container,
        "",
        lambda state: None if state.health is None else float(state.health == "healthy"),
    )


def restarts(container: str) -> list[dict[str, Any]]:
    """How often its restart policy has started it again."""
    return _of_state(
        "container_restarts_count", container, "restarts", lambda state: float(state.restart_count)
    )


def oom_killed(container: str) -> list[dict[str, Any]]:
    """1 if the kernel ended it for want of memory, the last time it ended, else 0."""
    return _of_state("container_oom_killed", container, "", lambda state: float(state.oom_killed))


def memory_bytes(container: str) -> list[dict[str, Any]]:
    """The memory it uses, without what the kernel caches of its files."""
    return _of_usage("container_memory_bytes", container, "bytes", memory_used_bytes)


def cpus(container: str) -> list[dict[str, Any]]:
    """The processor cores it uses, over about a second."""
    return _of_usage("container_cpus", container, "cores", cpus_used)


def _of_state(
    name: str, container: str, unit: str, read: Callable[[ContainerState], float | None]
) -> list[dict[str, Any]]:
    return _measured(name, container, unit, lambda engine, found: read(engine.state(found)))


def _of_usage(
    name: str, container: str, unit: str, read: Callable[[Any], float | None]
) -> list[dict[str, Any]]:
    return _measured(name, container, unit, lambda engine, found: read(engine.usage(found)))


def _measured(
    name: str,
    handle: str,
    unit: str,
    read: Callable[[ContainerEngine, str], float | None],
) -> list[dict[str, Any]]:
    value, evidence = None, {"container": handle}
    try:
        container = contained(current().target, Handle.read(handle)).container
        with ContainerEngine(container.engine) as engine:
            value = read(engine, container.id)
    except PerfchaosError as error:
        evidence["why"] = str(error)
    return [
        Measurement(
            name=name,
            phase=None,
            value=value,
            unit=unit,
            samples=0 if value is None else 1,
            subject=handle,
            evidence=evidence,
        ).as_dict()
    ]
