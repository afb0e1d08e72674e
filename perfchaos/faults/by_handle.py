"""
What a service is controlled by: its pid file, its container, or its compose service.

Whoever harms Redis or Postgres names what is to happen; how depends on the target file alone.
"""

from typing import TYPE_CHECKING, Any

from perfchaos.faults.container import Contained, contained
from perfchaos.faults.container_killed import ContainerKilled
from perfchaos.faults.container_paused import ContainerPaused
from perfchaos.faults.controlled import Controlled, controlled
from perfchaos.faults.ended_process import EndedProcess
from perfchaos.faults.fault import Fault
from perfchaos.faults.paused_process import PausedProcess
from perfchaos.faults.services import Dependency, service

if TYPE_CHECKING:
    from perfchaos.target import Target


def held(target: "Target", dependency: Dependency) -> Controlled | Contained:
    """
    The process or the container of the target's Redis or Postgres.

    Raises:
        PerfchaosError: the target has no such service, does not say how it is controlled, or what
            it says is not there.

    """
    handle = service(target, dependency).control
    if handle is None or handle.kind == "process":
        return controlled(target, dependency)
    return contained(target, handle)


def killed(target: "Target", dependency: Dependency, *, emptied: bool = False) -> Fault[Any]:
    """The service ended by SIGKILL; started again with its data, or `emptied`."""
    match held(target, dependency):
        case Controlled() as process:
            return EndedProcess(of=process, abruptly=True, emptied=emptied)
        case Contained() as container:
            return ContainerKilled(of=container, emptied=emptied)


def frozen(target: "Target", dependency: Dependency) -> Fault[Any]:
    """The service frozen: it accepts connections and answers nothing."""
    match held(target, dependency):
        case Controlled() as process:
            return PausedProcess(of=process)
        case Contained() as container:
            return ContainerPaused(of=container)
