"""
The fault `ended Postgres`: the server shuts down or crashes, as its clients would see it.

A dead server behind a proxy that goes on accepting looks like nothing in real life: its clients
connect and are cut off. So the proxy is disabled as soon as the server is gone, and enabled as soon
as the new one listens, which is before it has read its log and accepts anybody.
"""

import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from psycopg import pq

from perfchaos import processes
from perfchaos.containers import ContainerEngine
from perfchaos.errors import PerfchaosError
from perfchaos.faults.container import Contained, Container
from perfchaos.faults.container_start import StartContainer, prepare_start
from perfchaos.faults.controlled import Controlled
from perfchaos.faults.disabled_proxy import DisabledProxy, RestoreProxy
from perfchaos.faults.ended_process import StartProcess, start_of
from perfchaos.faults.fault import Reach
from perfchaos.faults.proxied import Proxied
from perfchaos.faults.witness import Fate, Route, Symptom
from perfchaos.postgres_client import ping

type Ending = Literal["smart", "fast", "crash"]

# A smart shutdown waits for the last client, and a pool's clients never leave: as an operator
# would, it is followed by a fast one.
SMART_PATIENCE_S = 2.0
SHUTDOWN_WITHIN_S = 20.0
BACK_WITHIN_S = 30.0

_KINDS = {"smart": "smart shutdown", "fast": "fast shutdown", "crash": "crash"}
_LOOK_S = 0.005


class DidNotComeBack(PerfchaosError):
    """Postgres was started again and does not accept sessions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedPostgres:
    """
    A Postgres ended by a `smart` or `fast` shutdown, or by a `crash`: SIGKILL of all its processes.

    `behind` is the proxy its clients reach it by; None where they reach it directly.
    """

    of: Controlled | Contained
    how: Ending
    behind: Proxied | None

    @property
    def kind(self) -> str:
        """What is done to it."""
        return _KINDS[self.how]

    @property
    def dependency(self) -> str:
        """The dependency whose server it is."""
        return self.of.dependency

    @property
    def reach(self) -> Reach:
        """The service and its proxy, where they are."""
        if self.behind is None:
            return Reach(services=(self.of.dependency,), hosts=(self._route.host,))
        return Reach(
            proxies=(self.behind.proxy,),
            services=(self.of.dependency,),
            hosts=(self._route.host, self.behind.route.host),
        )

    @property
    def symptom(self) -> Symptom | None:
        """Sessions are turned away, cut, and then refused, on the way that clients take."""
        return Symptom(
            route=self.behind.route if self.behind else self._route,
            fates=(Fate.NOT_READY, Fate.CLOSED, Fate.REFUSED),
            gone_within_s=BACK_WITHIN_S,
        )

    def prepare(self, run_id: str) -> "StartPostgres":
        """
        See that it runs, that it is known how to start it again, and how its proxy stands.

        Raises:
            PerfchaosError: it does not run, nothing says how to start it, or its proxy is disabled.

        """
        return StartPostgres(
            start=self._start_again(),
            proxy=DisabledProxy(on=self.behind).prepare(run_id) if self.behind else None,
            host=self._route.host,
            port=self._route.port,
        )

    def harm(self, undo: "StartPostgres") -> None:
        """End it, see that it is gone, and have its port refuse connections."""
        match self.of:
            case Controlled():
                self._end_process(self.of)
                self._refuse(undo)
            case Contained():
                self._end_container(self.of.container, undo)
        if undo.start.alive():
            raise PerfchaosError(
                f"{self.of.dependency} runs although it was ended",
                next_step="see whether a supervisor starts it again by itself",
            )

    def _refuse(self, undo: "StartPostgres") -> None:
        """Have its port refuse connections."""
        if self.behind is not None and undo.proxy is not None:
            DisabledProxy(on=self.behind).harm(undo.proxy)

    @property
    def _route(self) -> Route:
        """Where Postgres itself answers."""
        assert self.of.route is not None  # It is the target's own, so the target file says.
        return self.of.route

    def _start_again(self) -> StartProcess | StartContainer:
        if isinstance(self.of, Contained):
            in_order_s = 0 if self.how == "crash" else round(SHUTDOWN_WITHIN_S)
            return prepare_start(self.of, emptied=False, grace_s=in_order_s)
        self.of.startable()
        grace_s = None if self.how == "crash" else SHUTDOWN_WITHIN_S
        return start_of(self.of, emptied=False, grace_s=grace_s)

    def _end_process(self, of: Controlled) -> None:
        if self.how == "crash":
            processes.kill(Path(of.pid_file))
            return
        process = of.process()
        if self.how == "smart":
            process.signal(signal.SIGTERM)
            if process.wait_gone(SMART_PATIENCE_S):
                return
        process.signal(signal.SIGINT)
        if not process.wait_gone(SHUTDOWN_WITHIN_S):
            raise self._still_there(f"pid {process.pid}")

    def _end_container(self, container: Container, undo: "StartPostgres") -> None:
        """
        End it, its port first.

        The address of a container goes with it, and a proxy that is just then connecting to where
        nobody is any more cannot be disabled for seconds.
        """
        with ContainerEngine(container.engine) as engine:
            if self.how == "smart":
                engine.kill(container.id, "SIGTERM")
                container.wait_down(engine, SMART_PATIENCE_S)
            self._refuse(undo)
            if not engine.state(container.id).down:
                engine.kill(container.id, "SIGKILL" if self.how == "crash" else "SIGINT")
            if not container.wait_down(engine, SHUTDOWN_WITHIN_S):
                raise self._still_there(f"container {container.name}")

    def _still_there(self, what: str) -> PerfchaosError:
        return PerfchaosError(
            f"{self.of.dependency} ({what}) did not shut down within {SHUTDOWN_WITHIN_S:g} s",
            next_step="read its log; it is shutting down still, and its data are untouched",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StartPostgres:
    """
    Undo of an ended Postgres: start it with its data, and let clients through when it listens.

    Nothing is ever deleted: a data directory that fails to recover stays as it is.
    """

    mechanism: ClassVar[str] = "postgres ended"
    start: StartProcess | StartContainer
    proxy: RestoreProxy | None
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.start}" + (f", then {self.proxy}" if self.proxy else "")

    @property
    def lands_within_s(self) -> float:
        """As long as its end or the switch of its proxy may still come."""
        proxy_s = self.proxy.lands_within_s if self.proxy is not None else 0.0
        return max(self.start.lands_within_s, proxy_s)

    def see_it_in_force(self) -> None:
        """See that nobody has started it again."""
        self.start.see_it_in_force()

    def replay(self) -> None:
        """
        Start it unless it runs, and see that it accepts sessions.

        Raises:
            DidNotComeBack: it ended while starting, or accepts nobody; it says how it was left.

        """
        self.start.replay()
        deadline_s = time.monotonic() + BACK_WITHIN_S
        self._await((pq.Ping.OK, pq.Ping.REJECT), deadline_s)
        if self.proxy is not None:
            self.proxy.replay()
        self._await((pq.Ping.OK,), deadline_s)

    def last_resort(self) -> None:
        """There is no harder means than starting it."""
        self.replay()

    def _await(self, answers: tuple[pq.Ping, ...], deadline_s: float) -> None:
        while (answer := ping(self.host, self.port)) not in answers:
            if not self.start.alive():
                raise self._not_back("it ended while starting and is stopped")
            if time.monotonic() >= deadline_s:
                state = "is still recovering" if answer is pq.Ping.REJECT else "does not answer"
                raise self._not_back(f"it runs and {state}")
            time.sleep(_LOOK_S)

    def _not_back(self, state: str) -> DidNotComeBack:
        return DidNotComeBack(
            f"postgres at {self.host}:{self.port} did not come back: {state}; "
            f"its data are as the fault left them ({self.start.last_words()})",
            next_step="read its log, repair it or restore a backup, then run 'perfchaos heal'",
        )
