"""The fault `ended process`: the server shuts down or crashes, and is started again."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from perfchaos import processes
from perfchaos.errors import PerfchaosError
from perfchaos.faults.controlled import Controlled
from perfchaos.faults.fault import FaultVanished, Reach
from perfchaos.faults.witness import Fate, Symptom
from perfchaos.launches import Launch
from perfchaos.processes import Process

# A database that crashed may first have to read its log.
_STARTED_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedProcess:
    """
    A server ended: by its own orderly shutdown, or `abruptly` by SIGKILL of all its processes.

    It comes back with its data, or `emptied`, as a cache without persistence does.
    """

    of: Controlled
    abruptly: bool
    emptied: bool = False
    shutdown_within_s: float = 10.0

    @property
    def kind(self) -> str:
        """What the target notices."""
        return "crash" if self.abruptly else "shutdown"

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
        """Connections are cut, and then refused."""
        return Symptom(
            route=self.of.route,
            fates=(Fate.CLOSED, Fate.REFUSED),
            gone_within_s=_STARTED_WITHIN_S,
        )

    def prepare(self, run_id: str) -> "StartProcess":  # noqa: ARG002 - the pid file is its name
        """
        See that it runs, and that it is known how to start it again; changes nothing.

        Raises:
            PerfchaosError: it does not run, or nothing says how to start it.

        """
        launch = self.of.startable()
        if self.emptied and launch.data_dir is None:
            raise PerfchaosError(
                f"the data of {self.of.dependency} must not be deleted",
                next_step="let it come back with its data, or name the folder whose data may be "
                f"deleted as {self.of.dependency}.data in the target file",
            )
        return start_of(
            self.of, emptied=self.emptied, grace_s=None if self.abruptly else self.shutdown_within_s
        )

    def harm(self, undo: "StartProcess") -> None:
        """End it and see that it is gone."""
        pid_file = Path(undo.pid_file)
        if self.abruptly:
            processes.kill(pid_file)
        else:
            processes.stop(pid_file, timeout_s=self.shutdown_within_s)
        if processes.running(pid_file) is not None:
            raise PerfchaosError(
                f"{self.of.dependency} runs although it was ended",
                next_step="see whether a supervisor starts it again by itself",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class StartProcess:
    """
    Undo of an ended server: start it as it was started before.

    `ended` is the process to be ended. `grace_s` is what it has for its orderly shutdown; None
    where it is ended abruptly.
    """

    mechanism: ClassVar[str] = "process ended"
    pid_file: str
    emptied: bool
    ended: Process
    grace_s: float | None

    def __str__(self) -> str:
        return f"start the server of {self.pid_file}"

    @property
    def lands_within_s(self) -> float:
        """A signal comes at once, and what it began is brought to its end by `replay`."""
        return 3.0

    def see_it_in_force(self) -> None:
        """See that nobody has started it again."""
        if self.alive():
            raise FaultVanished(
                f"the server of {self.pid_file} was ended and runs again",
                next_step="find out who else starts it during the run, a supervisor say",
            )

    def replay(self) -> None:
        """
        Start it unless it runs; that it answers is for the witness to see.

        One that may be on its way out goes out first: it would end after it was found running.
        """
        self.wake()
        self._end_in_order()
        processes.start_again(Path(self.pid_file), emptied=self.emptied)

    def last_resort(self) -> None:
        """There is no harder means than starting it."""
        self.replay()

    def wake(self) -> None:
        """Let go on what a kill that was interrupted has left paused."""
        pid_file = Path(self.pid_file)
        if processes.running(pid_file) is not None:
            processes.resume(pid_file)

    def alive(self) -> bool:
        """Whether the server runs now."""
        return processes.running(Path(self.pid_file)) is not None

    def _end_in_order(self) -> None:
        """Finish the orderly shutdown of the process that was to be ended, if it still runs."""
        pid_file = Path(self.pid_file)
        if self.grace_s is None or processes.running(pid_file) != self.ended:
            return
        with suppress(PerfchaosError):
            processes.stop(pid_file, timeout_s=self.grace_s)
        if self.ended.alive():
            processes.kill(pid_file)

    def last_words(self) -> str:
        """The end of its log."""
        log = Path(Launch.read(Path(self.pid_file)).log)
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        return " | ".join(lines[-3:]) or "it logged nothing"


def start_of(of: Controlled, *, emptied: bool, grace_s: float | None) -> StartProcess:
    """
    The undo of ending the process that runs now; changes nothing.

    Raises:
        PerfchaosError: it does not run.

    """
    return StartProcess(pid_file=of.pid_file, emptied=emptied, ended=of.process(), grace_s=grace_s)
