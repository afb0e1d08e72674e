"""Where faults are injected: the part of a run that a rehearsal has as well."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from perfchaos.faults import Fault, Undo
from perfchaos.safety import Injected, SafetyNet, inject
from perfchaos.target import Target
from perfchaos.timeline import Phase, Timeline


@dataclass(slots=True, kw_only=True)
class Scene:
    """The target, and what harm to it is done under."""

    target: Target
    timeline: Timeline
    net: SafetyNet

    def enter(self, phase: Phase, *, at_ns: int | None = None) -> None:
        """Begin `phase`; the one before it ends there."""
        self.timeline.record("phase", at_ns=at_ns, phase=phase.value)

    @contextmanager
    def outage[U: Undo](self, fault: Fault[U], *, at_most_s: float) -> Iterator[Injected]:
        """
        `fault` is in force within this, which is the outage; what follows is the recovery.

        Raises what `perfchaos.safety.inject` raises.
        """
        with ExitStack() as afterwards:
            with inject(fault, self.net, at_most_s=at_most_s) as injected:
                self.enter(Phase.OUTAGE, at_ns=injected.at_ns)
                afterwards.callback(self.enter, Phase.RECOVERY)
                yield injected
