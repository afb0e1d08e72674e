"""The fault `container cut off`: it runs, and is on none of its networks."""

from dataclasses import dataclass
from typing import ClassVar

from perfchaos.containers import Attachment, ContainerEngine, EngineError
from perfchaos.errors import PerfchaosError
from perfchaos.faults.container import CALL_LANDS_WITHIN_S, Contained, Container
from perfchaos.faults.fault import Reach
from perfchaos.faults.witness import Fate, Symptom


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerCutOff:
    """A container taken off `network`, or off all of its networks."""

    of: Contained
    network: str | None = None

    @property
    def kind(self) -> str:
        """What the target notices."""
        return "partition"

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
        """Packets go nowhere, and published ports are closed; None if a network is left to it."""
        if self.network is not None:
            return None
        return self.of.symptom(Fate.SILENT, Fate.CLOSED, Fate.REFUSED, gone_within_s=5.0)

    def prepare(self, run_id: str) -> "ConnectContainer":  # noqa: ARG002 - a container is its own name
        """
        Note what it is connected to, and how it is found there; changes nothing.

        Raises:
            PerfchaosError: it does not run, or is not on that network, or on none.

        """
        with ContainerEngine(self.of.container.engine) as engine:
            state = self.of.container.running(engine)
        attachments = tuple(
            attachment
            for attachment in state.attachments
            if self.network in (None, attachment.network)
        )
        known = ", ".join(attachment.network for attachment in state.attachments) or "none"
        if not attachments or known in ("host", "none"):
            raise PerfchaosError(
                f"{self.of.container} cannot be cut off {self.network or 'its networks'}: "
                f"its networks are {known}",
                next_step="name one of its own bridge networks",
            )
        return ConnectContainer(container=self.of.container, attachments=attachments)

    def harm(self, undo: "ConnectContainer") -> None:
        """Take it off, and see that it is off."""
        with ContainerEngine(undo.container.engine) as engine:
            for attachment in undo.attachments:
                engine.disconnect(undo.container.id, attachment.network_id)
            if undo.missing(engine) != undo.attachments:
                raise EngineError(
                    f"{undo.container} was disconnected and is still connected",
                    next_step="see who else connects it",
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectContainer:
    """Undo of a cut: put this very container back on its networks, under its names there."""

    mechanism: ClassVar[str] = "container disconnected"
    container: Container
    attachments: tuple[Attachment, ...]

    def __str__(self) -> str:
        return "; ".join(
            f"docker network connect {attachment.network} {self.container.name}"
            for attachment in self.attachments
        )

    @property
    def lands_within_s(self) -> float:
        """As long as the engine may take over a call."""
        return CALL_LANDS_WITHIN_S

    def see_it_in_force(self) -> None:
        """
        See that nobody else connected it.

        Raises:
            FaultVanished: somebody has.
            ContainerGone: it was removed meanwhile.

        """
        with ContainerEngine(self.container.engine) as engine:
            engine.state(self.container.id)
            if self.missing(engine) != self.attachments:
                raise self.container.undone("is connected again")

    def missing(self, engine: ContainerEngine) -> tuple[Attachment, ...]:
        """The networks it is not on; none if it is gone and another runs in its place."""
        state = self.container.left(engine)
        connected = {attachment.network_id for attachment in state.attachments} if state else None
        return tuple(
            attachment
            for attachment in self.attachments
            if connected is not None and attachment.network_id not in connected
        )

    def replay(self) -> None:
        """Connect it to what it is missing, and see that it is connected."""
        with ContainerEngine(self.container.engine) as engine:
            for attachment in self.missing(engine):
                engine.connect(self.container.id, attachment)
            if left := self.missing(engine):
                raise EngineError(
                    f"{self.container} is still off {left[0].network}",
                    next_step=f"run 'docker network connect {left[0].network} "
                    f"{self.container.name}'",
                )

    def last_resort(self) -> None:
        """There is no harder means than connecting it."""
        self.replay()
