"""
What every fault has in common, as two shapes.

A fault is a frozen record that says what to harm. Before it harms anything it looks at what is
there and returns its `Undo`, a record of plain data that any other process can replay: everything
that healing needs stands in it, the previous state above all.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from perfchaos.errors import PerfchaosError
from perfchaos.faults.witness import Symptom


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A container by its name, with the labels it carries, each `key=value`."""

    name: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What one fault harms: proxies, services and containers, and the hosts it is done to."""

    proxies: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    containers: tuple[Labelled, ...] = ()
    hosts: tuple[str, ...] = ()

    def __str__(self) -> str:
        named = [f"proxy {name!r}" for name in self.proxies]
        named += [f"service {name!r}" for name in self.services]
        named += [f"container {container.name!r}" for container in self.containers]
        at = f" at {', '.join(dict.fromkeys(self.hosts))}" if self.hosts else ""
        return f"{', '.join(named)}{at}"


class Undo(Protocol):
    """How one fault is undone. Its fields are plain data, so that it survives its process."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    mechanism: ClassVar[str]

    @property
    def lands_within_s(self) -> float:
        """
        How long a harm that was asked for and never answered may still have its effect.

        Counted from when its maker is known to be gone, or to have given up.
        """

    def see_it_in_force(self) -> None:
        """
        See that what was harmed still is.

        Raises:
            FaultVanished: it is not; the error says how it is.
            PerfchaosError: that could not be looked at.

        """

    def replay(self) -> None:
        """
        Put the previous state back and read it back; does nothing if it is back already.

        A harm that is known to have begun and not to be over, an orderly shutdown say, is brought
        to its end first: what is undone too early is harmed after all.

        Raises:
            PerfchaosError: it could not be done, or is not to be seen afterwards.

        """

    def last_resort(self) -> None:
        """
        Put the previous state back by harder means, after `replay` has failed again and again.

        Raises:
            PerfchaosError: that failed too; its next step is what a person must do.

        """


class Fault[U: Undo](Protocol):
    """
    One reversible harm to one dependency.

    `kind` is what the target notices (`timeout`), `dependency` whom it hits (`redis`).
    """

    @property
    def kind(self) -> str:
        """What the target notices of it, in a word."""

    @property
    def dependency(self) -> str:
        """The dependency that is harmed, as the target file names it."""

    @property
    def reach(self) -> Reach:
        """What it harms, to be held against the blast radius."""

    @property
    def symptom(self) -> Symptom | None:
        """What is to be seen of it on the data plane; None where a ping cannot tell."""

    def prepare(self, run_id: str) -> U:
        """
        Look at what is there, and say how the harm will be undone. Changes nothing.

        Raises:
            PerfchaosError: the fault cannot be injected, or is there already.

        """

    def harm(self, undo: U) -> None:
        """
        Do it, and read it back.

        Raises:
            PerfchaosError: it could not be done, or is not to be seen afterwards.

        """


class FaultNotSeen(PerfchaosError):
    """A fault was injected, but the data plane shows nothing of it."""


class FaultVanished(PerfchaosError):
    """A fault is not in force any more, and nobody of ours has ended it."""


class NotHealed(PerfchaosError):
    """A fault could not be undone, or the data plane is not back to normal after it."""


OUR_TOXICS = "perfchaos-"
"""What the names of all toxics of all runs begin with."""


def toxic_prefix(run_id: str) -> str:
    """What the names of all toxics of one run begin with, so that leftovers are known as ours."""
    return f"{OUR_TOXICS}{run_id}-"
