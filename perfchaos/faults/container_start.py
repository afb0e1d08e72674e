"""What killing and stopping a container have in common: it is down, and is started again."""

from dataclasses import dataclass
from typing import ClassVar

from perfchaos.containers import ContainerEngine, ContainerState, EngineError
from perfchaos.errors import PerfchaosError
from perfchaos.faults.container import Contained, Container, FaultUndone

DATA_LABEL = "perfchaos.data"
"""The label whose value names the folder of a container that "emptied" deletes."""

# A database that crashed may first have to read its log.
STARTED_WITHIN_S = 60.0

_DOWN_WITHIN_S = 5.0
_RUNS_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StartContainer:
    """
    Undo of a container that is down: start that very container.

    `started_at` is the start before the harm, as the engine writes it. `emptied_folder` is what to
    delete first, None to start it with its data.
    """

    mechanism: ClassVar[str] = "container ended"
    container: Container
    started_at: str
    restart_policy: str
    emptied_folder: str | None

    def __str__(self) -> str:
        return f"docker start {self.container.name}"

    def replay(self) -> None:
        """Start it unless it runs; that it answers is for the witness to see."""
        with ContainerEngine(self.container.engine) as engine:
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

    def wait_ended(self, within_s: float) -> None:
        """Wait until a container that is on its way out has ended, at most that long."""
        with ContainerEngine(self.container.engine) as engine:
            self.container.wait_down(engine, within_s)

    def last_words(self) -> str:
        """The end of its log."""
        with ContainerEngine(self.container.engine) as engine:
            return engine.last_words(self.container.id)

    def see_it_down(self, engine: ContainerEngine) -> None:
        """
        Raises if the container is not down after the harm.

        Raises:
            FaultUndone: it was down, and something has started it again.
            PerfchaosError: it never went down.

        """
        state = self.container.await_state(
            engine, lambda s: s.down or self._started_again(s), _DOWN_WITHIN_S
        )
        if self._started_again(state):
            raise self._undone()
        if not state.down:
            raise PerfchaosError(
                f"{self.container} is still {state.status} {_DOWN_WITHIN_S:g} s after the signal",
                next_step="its first process ignores that signal: use SIGKILL",
            )

    def see_it_still_down(self) -> None:
        """Raises FaultUndone if something has started it again meanwhile."""
        with ContainerEngine(self.container.engine) as engine:
            if self._started_again(engine.state(self.container.id)):
                raise self._undone()

    def _started_again(self, state: ContainerState) -> bool:
        return state.status == "restarting" or (
            state.running and state.started_at != self.started_at
        )

    def _undone(self) -> FaultUndone:
        by = (
            "by somebody else"
            if self.restart_policy == "no"
            else f"(its restart policy is {self.restart_policy!r})"
        )
        return FaultUndone(
            f"{self.container} was started again {by}, so the fault was not in force all the time",
            next_step="for the experiment, take its restart policy away "
            f"('docker update --restart=no {self.container.name}')",
        )


def prepare_start(of: Contained, *, emptied: bool) -> StartContainer:
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
    )
