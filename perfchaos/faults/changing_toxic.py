"""The fault `changing toxic`: a toxic whose strength changes while it is in force."""

from dataclasses import dataclass, replace

from perfchaos.errors import InvalidInput
from perfchaos.faults.fault import Reach, Undo
from perfchaos.faults.toxic import RemoveToxic, Toxic
from perfchaos.faults.toxiproxy_client import ToxicState, ToxiproxyServer
from perfchaos.faults.witness import Symptom


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangingToxic:
    """
    A toxic in stages: `stages[0]` is injected, `change_to` makes it one of the others.

    The stages differ in attributes and toxicity alone. Up to Toxiproxy 2.12 a change can hang the
    server while clients abort connections; healing then restarts it.
    """

    stages: tuple[Toxic, ...]

    def __post_init__(self) -> None:
        """Refuse stages that are no changes of one toxic."""
        mistakes = [mistake for stage in self.stages for mistake in stage.mistakes()]
        if len({(stage.on, stage.type, stage.stream) for stage in self.stages}) != 1:
            mistakes.append("its stages are not stages of one toxic")
        if mistakes:
            raise InvalidInput("the toxic in stages", mistakes, next_step="correct the action")

    @property
    def kind(self) -> str:
        """What the target notices: the toxic's type."""
        return self.stages[0].kind

    @property
    def dependency(self) -> str:
        """The dependency behind the proxy."""
        return self.stages[0].dependency

    @property
    def reach(self) -> Reach:
        """The proxy, on its server and where it listens."""
        return self.stages[0].reach

    @property
    def symptom(self) -> Symptom | None:
        """What pings show in every stage: what they show in the mildest one."""
        symptoms = [stage.symptom for stage in self.stages]
        known = [symptom for symptom in symptoms if symptom is not None]
        if len(known) < len(symptoms):
            return None
        return replace(
            known[0],
            delay_ms=min(symptom.delay_ms for symptom in known),
            ratio=min(symptom.ratio for symptom in known),
            spared_pings=max(symptom.spared_pings for symptom in known),
        )

    def prepare(self, run_id: str) -> RemoveToxic:
        """See that the proxy is there and has no such toxic of this run; changes nothing."""
        return self.stages[0].prepare(run_id)

    def harm(self, undo: RemoveToxic) -> None:
        """Add the toxic in its first stage and see that it is there."""
        self.stages[0].harm(undo)

    def change_to(self, stage: Toxic, undo: Undo) -> None:
        """
        Make the toxic that `prepare` gave this undo for what it is in `stage`, and see that it is.

        Raises:
            ToxiproxyError: it could not be changed.

        """
        assert isinstance(undo, RemoveToxic)
        with ToxiproxyServer(undo.toxiproxy) as server:
            server.update_toxic(
                undo.proxy,
                ToxicState(
                    name=undo.toxic,
                    type=stage.type,
                    stream=stage.stream,
                    toxicity=stage.toxicity,
                    attributes=stage.attributes,
                ),
            )
