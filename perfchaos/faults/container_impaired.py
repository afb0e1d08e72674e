"""The fault `container impaired`: what it sends arrives late, or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from perfchaos.containers import ContainerEngine, EngineError
from perfchaos.errors import InvalidInput, PerfchaosError
from perfchaos.faults.container import CALL_LANDS_WITHIN_S, Contained, Container
from perfchaos.faults.fault import Reach
from perfchaos.faults.witness import Symptom

# Shorter delays than this drown in the noise of a busy machine.
_SEEN_DELAY_MIN_MS = 5.0

# The root disciplines a network interface has when nobody has given it one.
_UNTOUCHED = ("noqueue", "pfifo_fast", "fq_codel", "mq")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerImpaired:
    """
    Every packet a container sends delayed by `delay_ms` ± `jitter_ms`, and `loss_ratio` lost.

    By the kernel's netem, set with the container's own `tc` on all of its interfaces.
    """

    of: Contained
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss_ratio: float = 0.0

    @property
    def kind(self) -> str:
        """What the target notices."""
        return "latency" if self.delay_ms else "loss"

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
        """Answers are late; None for mere loss, which TCP makes good most of the time."""
        seen_ms = 0.9 * (self.delay_ms - self.jitter_ms)
        if self.of.route is None or seen_ms < _SEEN_DELAY_MIN_MS:
            return None
        return Symptom(route=self.of.route, delay_ms=seen_ms)

    def prepare(self, run_id: str) -> "RemoveNetem":  # noqa: ARG002 - a container is its own name
        """
        See that its interfaces are untouched and can be touched; changes nothing.

        Raises:
            InvalidInput: the delay or the loss makes no sense.
            PerfchaosError: it does not run, has no `tc`, or is impaired already.

        """
        if mistakes := self._mistakes():
            raise InvalidInput(
                f"impairing {self.of.container}", mistakes, next_step="correct the experiment"
            )
        with ContainerEngine(self.of.container.engine) as engine:
            self.of.container.running(engine)
            disciplines = _disciplines(engine, self.of.container)
        touched = {name: kind for name, kind in disciplines.items() if kind not in _UNTOUCHED}
        if touched or not disciplines:
            raise PerfchaosError(
                f"{self.of.container} has {touched or 'no network'} and cannot be impaired",
                next_step="take its own traffic control away first ('tc qdisc del')",
            )
        return RemoveNetem(container=self.of.container, interfaces=tuple(disciplines))

    def harm(self, undo: "RemoveNetem") -> None:
        """Impair each interface, and read it back."""
        with ContainerEngine(undo.container.engine) as engine:
            for interface in undo.interfaces:
                _tc(
                    engine,
                    undo.container,
                    ("qdisc", "add", "dev", interface, "root", "netem", *self._netem()),
                )
            if set(undo.impaired(engine)) != set(undo.interfaces):
                raise EngineError(
                    f"{undo.container} was impaired and is not",
                    next_step="see who else controls its traffic",
                )

    def _netem(self) -> tuple[str, ...]:
        delay = ("delay", f"{self.delay_ms:g}ms", f"{self.jitter_ms:g}ms") if self.delay_ms else ()
        loss = ("loss", f"{self.loss_ratio * 100:g}%") if self.loss_ratio else ()
        return (*delay, *loss)

    def _mistakes(self) -> list[str]:
        found = []
        if not (self.delay_ms or self.loss_ratio):
            found.append("neither delay_ms nor loss_ratio is given")
        if not 0 <= self.delay_ms <= 60_000:
            found.append(f"delay_ms is {self.delay_ms:g}, not between 0 and 60000")
        if not 0 <= self.jitter_ms <= self.delay_ms:
            found.append(f"jitter_ms is {self.jitter_ms:g}, not between 0 and delay_ms")
        if not 0 <= self.loss_ratio <= 1:
            found.append(f"loss_ratio is {self.loss_ratio:g}, not between 0 and 1")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveNetem:
    """Undo of an impairment: its interfaces as the kernel sets them up."""

    mechanism: ClassVar[str] = "container netem"
    container: Container
    interfaces: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(
            f"docker exec --privileged {self.container.name} tc qdisc del dev {interface} root"
            for interface in self.interfaces
        )

    @property
    def lands_within_s(self) -> float:
        """As long as the engine may take over a call."""
        return CALL_LANDS_WITHIN_S

    def see_it_in_force(self) -> None:
        """
        See that it is still impaired: a restart takes netem away.

        Raises:
            FaultVanished: it is not.
            ContainerGone: it was removed meanwhile.

        """
        with ContainerEngine(self.container.engine) as engine:
            if not engine.state(self.container.id).running:
                raise self.container.undone("does not run any more")
            if set(self.impaired(engine)) != set(self.interfaces):
                raise self.container.undone("is no longer impaired")

    def impaired(self, engine: ContainerEngine) -> list[str]:
        """The interfaces on which netem is in force."""
        disciplines = _disciplines(engine, self.container)
        return [name for name in self.interfaces if disciplines.get(name) == "netem"]

    def replay(self) -> None:
        """Take netem away and see that it is gone; a container that ended took it along."""
        with ContainerEngine(self.container.engine) as engine:
            state = self.container.left(engine)
            if state is None or not state.running:
                return
            for interface in self.impaired(engine):
                _tc(engine, self.container, ("qdisc", "del", "dev", interface, "root"))
            if left := self.impaired(engine):
                raise EngineError(
                    f"{self.container} is still impaired on {left[0]}", next_step=f"run '{self}'"
                )

    def last_resort(self) -> None:
        """There is no harder means that would keep the container running."""
        self.replay()


def _disciplines(engine: ContainerEngine, container: Container) -> dict[str, str]:
    """The root queueing discipline of each of its network interfaces but the loopback."""
    lines = _tc(engine, container, ("qdisc", "show")).splitlines()
    found = {}
    for line in lines:  # qdisc netem 8001: dev eth0 root refcnt 2 limit 1000 delay 100ms
        words = line.split()
        if "root" in words and (interface := words[words.index("dev") + 1]) != "lo":
            found[interface] = words[1]
    return found


def _tc(engine: ContainerEngine, container: Container, arguments: Sequence[str]) -> str:
    code, output = engine.run_inside(container.id, ("tc", *arguments))
    if code in (126, 127) and "not permitted" in output:
        raise PerfchaosError(
            f"the engine may not give a process in {container} rights over its network ({output})",
            next_step="see why 'docker exec --privileged' fails there, or use a toxic on a proxy "
            "before it",
        )
    if code in (126, 127):
        raise PerfchaosError(
            f"{container} has no 'tc', so its packets cannot be delayed or lost",
            next_step="install iproute2 in its image, or use a toxic on a proxy before it",
        )
    if "qdisc kind is unknown" in output:
        raise PerfchaosError(
            f"the kernel under {container} has no netem",
            next_step="load its module sch_netem on the engine's machine, or use a toxic on a "
            "proxy before it",
        )
    if code != 0:
        raise EngineError(
            f"tc {' '.join(arguments)} failed in {container} ({output})",
            next_step="see whether it may change its network at all",
        )
    return output
