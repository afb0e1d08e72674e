"""The fault `container paused`: connections are accepted, nothing is answered."""

from dataclasses import dataclass
from typing import ClassVar

from perfchaos.containers import ContainerEngine, EngineError
from perfchaos.faults.container import CALL_LANDS_WITHIN_S, Contained, Container
from perfchaos.faults.fault import Reach
from perfchaos.faults.witness import Fate, Symptom


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPaused:
    """A container with all its processes frozen."""

    of: Contained

    @property
    def kind(self) -> str:
        """What the target notices."""
        return "hang"

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
        """The kernel accepts connections, and nobody answers."""
        return self.of.symptom(Fate.SILENT, gone_within_s=5.0)

    def prepare(self, run_id: str) -> "UnpauseContainer":  # noqa: ARG002 - a container is its own name
        """
        See that it runs; changes nothing.

        Raises:
            PerfchaosError: it does not, or is paused already.

        """
        with ContainerEngine(self.of.container.engine) as engine:
            self.of.container.running(engine)
        return UnpauseContainer(container=self.of.container)

    def harm(self, undo: "UnpauseContainer") -> None:
        """Pause it and see that it is paused."""
        with ContainerEngine(undo.container.engine) as engine:
            engine.pause(undo.container.id)
            if (status := engine.state(undo.container.id).status) != "paused":
                raise EngineError(
                    f"{undo.container} was paused and is {status}",
                    next_step="see who else changes it",
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpauseContainer:
    """Undo of a pause: let this very container go on."""

    mechanism: ClassVar[str] = "container paused"
    container: Container

    def __str__(self) -> str:
        return f"docker unpause {self.container.name}"

    @property
    def lands_within_s(self) -> float:
        """As long as the engine may take over a call."""
        return CALL_LANDS_WITHIN_S

    def see_it_in_force(self) -> None:
        """
        See that nobody else let it go on.

        Raises:
            FaultVanished: somebody has.
            ContainerGone: it was removed meanwhile.

        """
        with ContainerEngine(self.container.engine) as engine:
            status = engine.state(self.container.id).status
        if status != "paused":
            raise self.container.undone(f"is {status}, no longer paused")

    def replay(self) -> None:
        """Unpause it and see that it runs; one that has ended meanwhile needs nothing."""
        with ContainerEngine(self.container.engine) as engine:
            state = self.container.left(engine)
            if state is None or state.status != "paused":
                return
            engine.unpause(self.container.id)
            if engine.state(self.container.id).status == "paused":
                raise EngineError(
                    f"{self.container} is still paused", next_step="see who else pauses it"
                )

    def last_resort(self) -> None:
        """There is no harder means that would keep its data in memory."""
        self.replay()
