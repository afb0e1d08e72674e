"""The fault `container killed`: its first process gets a signal, and all the others end with it."""

import signal
from dataclasses import dataclass

from perfchaos.containers import ContainerEngine
from perfchaos.errors import InvalidInput
from perfchaos.faults.container import Contained
from perfchaos.faults.container_start import (
    DOWN_WITHIN_S,
    STARTED_WITHIN_S,
    StartContainer,
    prepare_start,
)
from perfchaos.faults.fault import Reach
from perfchaos.faults.witness import Fate, Symptom

# These do not end a process, so they are no way to kill one.
_NOT_ENDING = ("SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGCONT", "SIGCHLD", "SIGWINCH")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerKilled:
    """A container killed by `signal`; it comes back with its data, or `emptied`."""

    of: Contained
    signal: str = "SIGKILL"
    emptied: bool = False

    @property
    def kind(self) -> str:
        """What the target notices."""
        return "crash"

    @property
    def dependency(self) -> str:
        """The dependency in the container."""
        return self.of.dependency

    @property
    def reach(self) -> Reach:
        """The container."""
        return self.of.reach

    @property
    def symptom(self) -> Symptom | None:
        """Connections are cut, and then refused."""
        return self.of.symptom(Fate.CLOSED, Fate.REFUSED, gone_within_s=STARTED_WITHIN_S)

    def prepare(self, run_id: str) -> StartContainer:  # noqa: ARG002 - a container is its own name
        """
        See that it runs and can be started again; changes nothing.

        Raises:
            InvalidInput: the signal is none, or ends nothing.
            PerfchaosError: the container is not one that could be healed.

        """
        if self.signal not in signal.Signals.__members__ or self.signal in _NOT_ENDING:
            raise InvalidInput(
                f"killing {self.of.container}",
                [f"{self.signal!r} is not the name of a signal that ends a process"],
                next_step="use SIGKILL or SIGTERM; to freeze a container, pause it",
            )
        grace_s = 0 if self.signal == "SIGKILL" else DOWN_WITHIN_S
        return prepare_start(self.of, emptied=self.emptied, grace_s=grace_s)

    def harm(self, undo: StartContainer) -> None:
        """Send the signal, and see the container down."""
        with ContainerEngine(undo.container.engine) as engine:
            engine.kill(undo.container.id, self.signal)
            undo.see_it_down(engine)
