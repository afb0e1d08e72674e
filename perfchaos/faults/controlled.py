"""One dependency's own server process, known by its pid file."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from perfchaos.errors import PerfchaosError
from perfchaos.faults.services import Dependency, route_to, service
from perfchaos.faults.witness import Route
from perfchaos.launches import Launch, learn_launch
from perfchaos.processes import Process, running
from perfchaos.sockets import listening_ports

if TYPE_CHECKING:
    from perfchaos.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Controlled:
    """
    `dependency`'s server, of the process that `pid_file` speaks of.

    `route` is the server's own address, around any proxy; `start` is the command that starts it,
    empty where that is to be found out; `data` is its folder, if its data may be deleted.
    """

    dependency: str
    pid_file: str
    route: Route
    start: tuple[str, ...] = ()
    data: str | None = None

    def process(self) -> Process:
        """
        The process that runs now.

        Raises:
            PerfchaosError: none does; a pid that another process has got meanwhile counts so.

        """
        process = running(Path(self.pid_file))
        if process is None:
            raise PerfchaosError(
                f"{self.dependency} is not running: no live process belongs to {self.pid_file}",
                next_step="start it, or correct its control in the target file",
            )
        return process

    def server(self) -> Process:
        """
        The process that runs now, seen to be the server: it listens at `route`.

        Raises:
            PerfchaosError: it does not run, or the pid file names another process.

        """
        process = self.process()
        family = {member.pid for member in process.family()}
        ports = listening_ports(family)
        if ports is not None and self.route.port not in ports:
            raise PerfchaosError(
                f"process {process.pid} of {self.pid_file} does not listen on port "
                f"{self.route.port}, where {self.dependency} is",
                next_step=f"correct {self.dependency}.control or {self.dependency}.port in the "
                "target file; a server in a container is controlled through docker: or compose:",
            )
        return process

    def startable(self) -> Launch:
        """
        How the server that runs now is started again, noted for whoever may have to.

        Raises:
            PerfchaosError: it does not run, it is paused, or it cannot be told how.

        """
        process, pid_file = self.server(), Path(self.pid_file)
        learn_launch(pid_file, process.pid, self.start, data_dir=self.data)
        launch = Launch.read(pid_file)
        if process.paused():
            raise PerfchaosError(
                f"{self.dependency} (pid {process.pid}) is paused",
                next_step=f"resume it first: kill -CONT {process.pid}",
            )
        return launch


def controlled(target: "Target", dependency: Dependency) -> Controlled:
    """
    The target's own Redis or Postgres process.

    Raises:
        PerfchaosError: the target has no such dependency, or it is not controlled by a pid file.

    """
    found = service(target, dependency)
    if found.control is None:
        raise PerfchaosError(
            f"target {target.name!r} does not say how {dependency} is controlled",
            next_step=f"give {target.path} {dependency}.control, such as process:<pid file>",
        )
    if found.control.kind != "process":
        raise PerfchaosError(
            f"{dependency} is controlled by {found.control}, not by a pid file",
            next_step="use the action for containers",
        )
    return Controlled(
        dependency=dependency,
        pid_file=found.control.name,
        start=found.control.start,
        data=found.control.data,
        route=route_to(target, dependency, host=found.host, port=found.port),
    )
