"""The fault `container stopped`: asked to end in its own orderly way, killed if it does not."""

from dataclasses import dataclass

from perfchaos.containers import ContainerEngine
from perfchaos.faults.container import Contained
from perfchaos.faults.container_start import STARTED_WITHIN_S, StartContainer, prepare_start
from perfchaos.faults.fault import Reach
from perfchaos.faults.witness import Fate, Symptom


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStopped:
    """A container stopped, with `grace_s` to end in order; with 0 it has none."""

    of: Contained
    grace_s: int = 10
    emptied: bool = False

    @property
    def kind(self) -> str:
        """What the target notices."""
        return "shutdown"

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
            PerfchaosError: the container is not one that could be healed.

        """
        return prepare_start(self.of, emptied=self.emptied, grace_s=self.grace_s)

    def harm(self, undo: StartContainer) -> None:
        """Stop it, and see it down."""
        with ContainerEngine(undo.container.engine) as engine:
            engine.stop(undo.container.id, self.grace_s)
            undo.see_it_down(engine)
