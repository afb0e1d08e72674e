"""The fault `container squeezed`: it must live with less memory or less of the processors."""

from dataclasses import dataclass, replace
from typing import ClassVar

from perfchaos.containers import ContainerEngine, EngineError, Limits
from perfchaos.errors import InvalidInput
from perfchaos.faults.container import CALL_LANDS_WITHIN_S, Contained, Container
from perfchaos.faults.fault import Reach
from perfchaos.faults.witness import Symptom

# What the engine itself accepts as the least.
_MEMORY_MIN_BYTES = 6 * 2**20
_CPUS_MIN = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSqueezed:
    """
    A container limited to `memory_bytes` (no swap beyond it) and to `cpus` cores; None leaves it.

    It takes effect at once. More memory than the limit in use is reclaimed or swapped by the
    kernel, or the container's largest process is killed for it.
    """

    of: Contained
    memory_bytes: int | None = None
    cpus: float | None = None

    @property
    def kind(self) -> str:
        """What the target notices."""
        return "squeeze"

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
        """None: a ping costs too little to tell, so the limits are read back from the engine."""
        return None

    def prepare(self, run_id: str) -> "RestoreLimits":  # noqa: ARG002 - a container is its own name
        """
        Note the limits it has; changes nothing.

        Raises:
            InvalidInput: they would not become tighter, or are less than the engine can set.
            PerfchaosError: it does not run.

        """
        with ContainerEngine(self.of.container.engine) as engine:
            before = self.of.container.running(engine).limits
        if mistakes := self._mistakes(before):
            raise InvalidInput(
                f"squeezing {self.of.container}", mistakes, next_step="correct the experiment"
            )
        return RestoreLimits(container=self.of.container, before=before)

    def harm(self, undo: "RestoreLimits") -> None:
        """Set the limits, and read them back."""
        wanted = undo.before
        if self.memory_bytes is not None:
            wanted = replace(
                wanted, memory_bytes=self.memory_bytes, memory_swap_bytes=self.memory_bytes
            )
        if self.cpus is not None:
            # The engine counts in hundred-thousandths of a core.
            wanted = replace(wanted, cpus=round(self.cpus, 5))
        with ContainerEngine(undo.container.engine) as engine:
            undo.set(engine, wanted)

    def _mistakes(self, before: Limits) -> list[str]:
        found = []
        if self.memory_bytes is None and self.cpus is None:
            found.append("neither memory_bytes nor cpus is given")
        if self.memory_bytes is not None and self.memory_bytes < _MEMORY_MIN_BYTES:
            found.append(f"memory_bytes is {self.memory_bytes}, less than {_MEMORY_MIN_BYTES}")
        if self.cpus is not None and not self.cpus >= _CPUS_MIN:
            found.append(f"cpus is {self.cpus:g}, less than {_CPUS_MIN:g}")
        for name, wanted, has in (
            ("memory_bytes", self.memory_bytes, before.memory_bytes),
            ("cpus", self.cpus, before.cpus),
        ):
            if wanted is not None and has is not None and wanted >= has:
                found.append(f"{name} is {wanted:g}, no tighter than its limit of {has:g}")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreLimits:
    """Undo of a squeeze: the limits this very container had before."""

    mechanism: ClassVar[str] = "container limits"
    container: Container
    before: Limits

    def __str__(self) -> str:
        return f"docker update {self.container.name} to {self.before}"

    def set(self, engine: ContainerEngine, wanted: Limits) -> None:
        """Set its limits and read them back."""
        engine.limit(self.container.id, wanted)
        if (now := engine.state(self.container.id).limits) != wanted:
            raise EngineError(
                f"{self.container} has {now}, not {wanted}", next_step="see who else limits it"
            )

    @property
    def lands_within_s(self) -> float:
        """As long as the engine may take over a call."""
        return CALL_LANDS_WITHIN_S

    def see_it_in_force(self) -> None:
        """
        See that nobody else gave it its limits back.

        Raises:
            FaultVanished: somebody has.
            ContainerGone: it was removed meanwhile.

        """
        with ContainerEngine(self.container.engine) as engine:
            if engine.state(self.container.id).limits == self.before:
                raise self.container.undone("has the limits it had")

    def replay(self) -> None:
        """Set the limits it had, and see that they are set."""
        with ContainerEngine(self.container.engine) as engine:
            if self.container.left(engine) is not None:
                self.set(engine, self.before)

    def last_resort(self) -> None:
        """There is no harder means that would keep the container running."""
        self.replay()
