"""What killing and stopping a container have in common: it is down, and is started again."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from perfchaos.containers import ContainerEngine, ContainerState, EngineError
from perfchaos.errors import PerfchaosError
from perfchaos.faults.container import CALL_LANDS_WITHIN_S, Contained, Container
from perfchaos.faults.fault import FaultVanished

DATA_LABEL = "perfchaos.data"
_SYSTEM = ("bin", "boot", "dev", "etc", "lib", "lib64", "proc", "sbin", "sys", "usr")
"""The label whose value names the folder of a container that "emptied" deletes."""

# A database that crashed may first have to read its log.
STARTED_WITHIN_S = 60.0

DOWN_WITHIN_S = 5

_RUNS_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StartContainer:
    """
    Undo of a container that is down: start that very container.

    `started_at` is the start before the harm, as the engine writes it. `emptied_folder` is what to
    delete first, None to start it with its data. `grace_s` is what it has to end in order.
    """

    mechanism: ClassVar[str] = "container ended"
    container: Container
    started_at: str
    restart_policy: str
    emptied_folder: str | None
    grace_s: int

    def __str__(self) -> str:
        return f"docker start {self.container.name}"

    @property
    def lands_within_s(self) -> float:
        """As long as the engine may take over a call, and the container over its end."""
        return self.grace_s + CALL_LANDS_WITHIN_S

    def replay(self) -> None:
        """
        Start it unless it runs; that it answers is for the witness to see.

        One that may be on its way out goes out first: it would end after it was found running.
        """
        with ContainerEngine(self.container.engine) as engine:
            state = self.container.left(engine)
            if state is not None and state.running and self._may_be_ending(state):
                engine.stop(self.container.id, self.grace_s)
                state = self.container.left(engine)
            if state is None or state.running:
                return
            if self.emptied_folder is not None:
                engine.empty(self.container.id, self.emptied_folder)
            engine.start(self.container.id)
            state = self.container.await_state(engine, lambda s: s.running, _RUNS_WITHIN_S)
            if not state.running:
                raise EngineError(
                    f"{self.container} was started and is {state.status} "
                    f"(exit code {state.exit_code})",
                    next_step=f"read 'docker logs {self.container.name}'",
                )

    def last_resort(self) -> None:
        """There is no harder means than starting it."""
        self.replay()

    def alive(self) -> bool:
        """Whether the container runs now."""
        with ContainerEngine(self.container.engine) as engine:
            return not engine.state(self.container.id).down

    def last_words(self) -> str:
        """The end of its log."""
        with ContainerEngine(self.container.engine) as engine:
            return engine.last_words(self.container.id)

    def see_it_down(self, engine: ContainerEngine) -> None:
        """
        Raises if the container is not down after the harm.

        Raises:
            FaultVanished: it was down, and something has started it again.
            PerfchaosError: it never went down.

        """
        state = self.container.await_state(
            engine, lambda s: s.down or self._started_again(s), DOWN_WITHIN_S
        )
        if self._started_again(state):
            raise self._undone()
        if not state.down:
            raise PerfchaosError(
                f"{self.container} is still {state.status} {DOWN_WITHIN_S:g} s after the signal",
                next_step="its first process ignores that signal: use SIGKILL",
            )

    def see_it_in_force(self) -> None:
        """
        See that nothing has started it again.

        Raises:
            FaultVanished: something has.
            ContainerGone: it was removed meanwhile.

        """
        with ContainerEngine(self.container.engine) as engine:
            if self._started_again(engine.state(self.container.id)):
                raise self._undone()

    def _may_be_ending(self, state: ContainerState) -> bool:
        """Whether this is the start that was to be ended in order."""
        return self.grace_s > 0 and state.started_at == self.started_at

    def _started_again(self, state: ContainerState) -> bool:
        return state.status == "restarting" or (
            state.running and state.started_at != self.started_at
        )

    def _undone(self) -> FaultVanished:
        by = (
            "by somebody else"
            if self.restart_policy == "no"
            else f"(its restart policy is {self.restart_policy!r})"
        )
        return FaultVanished(
            f"{self.container} was started again {by}, so the fault was not in force all the time",
            next_step="for the experiment, take its restart policy away "
            f"('docker update --restart=no {self.container.name}')",
        )


def prepare_start(of: Contained, *, emptied: bool, grace_s: int) -> StartContainer:
    """
    See that it runs and can be started again, and note what that takes; changes nothing.

    Raises:
        PerfchaosError: it does not run, would not be there any more, or must not be emptied.

    """
    with ContainerEngine(of.container.engine) as engine:
        state = of.container.running(engine)
    if state.removed_when_down:
        raise PerfchaosError(
            f"{of.container} is removed as soon as it is down, so it could not be healed",
            next_step="create it without --rm",
        )
    folder = state.labels.get(DATA_LABEL)
    if emptied and folder is not None and not _names_data(folder):
        raise PerfchaosError(
            f"the label {DATA_LABEL}={folder} of {of.container} names no folder of data",
            next_step="name the full path of the one folder that may be emptied, such as /data",
        )
    if emptied and folder is None:
        raise PerfchaosError(
            f"the data of {of.container} must not be deleted",
            next_step="let it come back with its data, or name the folder that may be emptied in "
            f"its label {DATA_LABEL}",
        )
    return StartContainer(
        container=of.container,
        started_at=state.started_at,
        restart_policy=state.restart_policy,
        emptied_folder=folder if emptied else None,
        grace_s=grace_s,
    )


def _names_data(folder: str) -> bool:
    """A full path below the root and outside what the system itself needs."""
    parts = PurePosixPath(folder).parts
    below = len(parts) > 1 and parts[0] == "/" and ".." not in parts
    return below and parts[1] not in _SYSTEM and parts[1:] not in (("var",), ("var", "lib"))
