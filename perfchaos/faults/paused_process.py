"""The fault `paused process`: connections are accepted, nothing is answered."""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from perfchaos import processes
from perfchaos.errors import PerfchaosError
from perfchaos.faults.controlled import Controlled
from perfchaos.faults.fault import FaultVanished, Reach
from perfchaos.faults.witness import Fate, Symptom
from perfchaos.processes import Process


@dataclass(frozen=True, slots=True, kw_only=True)
class PausedProcess:
    """A server process and all its children stopped in their tracks (SIGSTOP)."""

    of: Controlled

    @property
    def kind(self) -> str:
        """What the target notices."""
        return "hang"

    @property
    def dependency(self) -> str:
        """The dependency whose server it is."""
        return self.of.dependency

    @property
    def reach(self) -> Reach:
        """The service, at its own address."""
        return Reach(services=(self.of.dependency,), hosts=(self.of.route.host,))

    @property
    def symptom(self) -> Symptom | None:
        """The kernel accepts connections, and nobody answers."""
        return Symptom(route=self.of.route, fates=(Fate.SILENT,))

    def prepare(self, run_id: str) -> "ResumeProcess":  # noqa: ARG002 - the process is its own name
        """
        Note which process it is; changes nothing.

        Raises:
            PerfchaosError: it does not run, or is paused already.

        """
        process = self.of.server()
        if process.paused():
            raise PerfchaosError(
                f"{self.of.dependency} (pid {process.pid}) is paused already",
                next_step=f"resume it first: kill -CONT {process.pid}",
            )
        return ResumeProcess(pid=process.pid, started=process.started)

    def harm(self, undo: "ResumeProcess") -> None:
        """Pause it and see that it is paused."""
        processes.pause(Path(self.of.pid_file))
        if not undo.process.paused():
            raise PerfchaosError(
                f"{self.of.dependency} (pid {undo.pid}) was not paused",
                next_step="see whether it ended or was started anew meanwhile",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeProcess:
    """Undo of a pause: let this very process and its children go on."""

    mechanism: ClassVar[str] = "process paused"
    pid: int
    started: str

    def __str__(self) -> str:
        return f"kill -CONT {self.pid} and its children"

    @property
    def process(self) -> Process:
        """The process that was paused, and no other that has its pid now."""
        return Process(pid=self.pid, started=self.started)

    @property
    def lands_within_s(self) -> float:
        """A signal comes at once; a process in the kernel may heed it a moment later."""
        return 3.0

    def see_it_in_force(self) -> None:
        """See that it is still paused."""
        if not self.process.paused():
            state = "goes on" if self.process.alive() else "has ended"
            raise FaultVanished(
                f"process {self.pid} was paused and {state}",
                next_step="find out who else resumes or ends it during the run",
            )

    def replay(self) -> None:
        """Resume it and see that it goes on; one that has ended needs nothing."""
        if not self.process.alive():
            return
        for member in reversed(self.process.family()):
            member.signal(signal.SIGCONT)
        if self.process.paused():
            raise PerfchaosError(
                f"process {self.pid} is still paused", next_step="see who else pauses it"
            )

    def last_resort(self) -> None:
        """There is no harder means than the signal."""
        self.replay()
