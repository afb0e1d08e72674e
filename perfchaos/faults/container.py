"""One container that may be harmed, and what all container faults ask of it."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perfchaos.containers import (
    ContainerEngine,
    ContainerGone,
    ContainerState,
    EngineError,
    engine_address,
)
from perfchaos.errors import PerfchaosError
from perfchaos.faults.fault import FaultVanished, Labelled, Reach
from perfchaos.faults.services import Dependency, route_to, service
from perfchaos.faults.witness import Fate, Route, Symptom

if TYPE_CHECKING:
    from perfchaos.target import Handle, Target

_LOOK_S = 0.02


CALL_LANDS_WITHIN_S = 15.0
"""For how long an engine may still do what it was asked for, beside the grace of a stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """
    One container of the engine at `engine`, by its full id; `name` is for people.

    One of the same name with another id is another container.
    """

    engine: str
    id: str
    name: str

    def __str__(self) -> str:
        return f"container {self.name!r} ({self.id[:12]})"

    def running(self, engine: ContainerEngine) -> ContainerState:
        """
        Its state, if it runs.

        Raises:
            PerfchaosError: it does not run, so harming it shows nothing.

        """
        state = engine.state(self.id)
        if not state.running:
            raise PerfchaosError(
                f"{self} is {state.status} already, so harming it shows nothing",
                next_step=f"bring it up first ('docker inspect {self.name}' tells more)",
            )
        return state

    def left(self, engine: ContainerEngine) -> ContainerState | None:
        """
        Its state when it comes to healing it; None if it is gone and another runs in its place.

        Raises:
            ContainerGone: nothing runs in its place, and nothing here may be started for it.

        """
        with suppress(ContainerGone):
            return engine.state(self.id)
        with suppress(ContainerGone):
            successor = engine.state(self.name)
            if successor.running:
                return None
            raise EngineError(
                f"{self} was replaced by {successor}, which is {successor.status}",
                next_step="that one was never harmed here: start it yourself "
                f"('docker start {self.name}')",
            )
        raise ContainerGone(
            f"{self} was removed while it was harmed",
            next_step="create it anew ('docker compose up --detach')",
        )

    def undone(self, found: str) -> FaultVanished:
        """The error to raise where a fault of it is over before its time; `found` is how it is."""
        return FaultVanished(
            f"{self} {found}, so the fault was not in force all the time",
            next_step="find out who else changes it during the run",
        )

    def await_state(
        self, engine: ContainerEngine, wanted: Callable[[ContainerState], bool], within_s: float
    ) -> ContainerState:
        """Its state as soon as it is as wanted, or as it is after `within_s`."""
        deadline_s = time.monotonic() + within_s
        while not wanted(state := engine.state(self.id)) and time.monotonic() < deadline_s:
            time.sleep(_LOOK_S)
        return state

    def wait_down(self, engine: ContainerEngine, within_s: float) -> bool:
        """Whether it is down within that time."""
        return self.await_state(engine, lambda state: state.down, within_s).down


@dataclass(frozen=True, slots=True, kw_only=True)
class Contained:
    """
    A dependency in a container.

    `labels` are the container's, each `key=value`. `route` is where the dependency itself answers,
    around any proxy; None for a container that is neither the target's Redis nor its Postgres.
    """

    dependency: str
    container: Container
    labels: tuple[str, ...]
    route: Route | None

    @property
    def reach(self) -> Reach:
        """The container, and the service that it is."""
        return Reach(
            services=(self.dependency,) if self.route else (),
            hosts=(self.route.host,) if self.route else (),
            containers=(Labelled(name=self.container.name, labels=self.labels),),
        )

    def symptom(self, *fates: Fate, gone_within_s: float) -> Symptom | None:
        """Pings that have one of these fates; None where nobody can ping."""
        if self.route is None:
            return None
        return Symptom(route=self.route, fates=fates, gone_within_s=gone_within_s)


def contained(target: "Target", handle: "Handle") -> Contained:
    """
    The container of a handle: `docker:<name or id>`, `compose:<service>` or `<project>/<service>`.

    Raises:
        PerfchaosError: there is no engine, no such container, or more than one.

    """
    if handle.kind == "process":
        raise PerfchaosError(
            f"{handle} is a process, not a container",
            next_step="name it with docker:<container> or compose:<service>",
        )
    with ContainerEngine(engine_address()) as engine:
        state = _resolve(engine, target, handle)
        dependency = _dependency(engine, target, state)
    route = None
    if dependency is not None:
        found = service(target, dependency)
        route = route_to(target, dependency, host=found.host, port=found.port)
    return Contained(
        dependency=dependency or state.name,
        container=Container(engine=engine_address(), id=state.id, name=state.name),
        labels=tuple(f"{key}={value}" for key, value in state.labels.items()),
        route=route,
    )


def _resolve(engine: ContainerEngine, target: "Target", handle: "Handle") -> ContainerState:
    if handle.kind == "docker":
        return engine.state(handle.name)
    found = engine.containers_of(handle.name)
    if len(found) > 1:  # Several projects may have a service of that name.
        allowed = {container.name for container in target.blast_radius.containers}
        found = tuple(state for state in found if state.name in allowed) or found
    match found:
        case [state]:
            return state
        case []:
            raise ContainerGone(
                f"there is no container of {handle} at {engine.address}",
                next_step="bring it up, or correct its name ('docker ps --all' shows labels)",
            )
    names = ", ".join(f"{state.name} of {state.service}" for state in found)
    raise EngineError(
        f"{handle} is more than one container ({names})",
        next_step="name one with docker:<container>, or its project with "
        "compose:<project>/<service>",
    )


def _dependency(
    engine: ContainerEngine, target: "Target", state: ContainerState
) -> Dependency | None:
    """Which of the target's services this container is."""
    known: tuple[tuple[Dependency, Handle | None], ...] = (
        ("redis", target.redis.control if target.redis else None),
        ("postgres", target.postgres.control if target.postgres else None),
    )
    for dependency, handle in known:
        if handle is None or handle.kind == "process":
            continue
        with suppress(ContainerGone):
            if _resolve(engine, target, handle).id == state.id:
                return dependency
    return None
