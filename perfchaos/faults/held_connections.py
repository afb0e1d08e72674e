"""
The fault `held connections`: no slot is left for a new session.

The sessions are held by a process of its own, which ends with the run that started it: the death of
the run heals it, and anybody else heals it by ending that process, without needing a slot.
"""

import os
import select
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from perfchaos import processes
from perfchaos.errors import PerfchaosError
from perfchaos.faults.fault import FaultVanished, Reach
from perfchaos.faults.postgres_sessions import require_endable
from perfchaos.faults.witness import Symptom
from perfchaos.launches import write_private
from perfchaos.places import state_dir
from perfchaos.postgres_client import APPLICATION_NAME, Login, connected
from perfchaos.process_table import look_up

_FULL_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldConnections:
    """
    Every connection that the server of `login` still gives, held.

    With `evict` all sessions of the database are ended as well and their places taken, whatever
    role they are of; without, a target keeps what it has and cannot get more.
    """

    login: Login
    evict: bool

    @property
    def kind(self) -> str:
        """What the target notices."""
        return "no connection slots"

    @property
    def dependency(self) -> str:
        """The dependency that is harmed."""
        return "postgres"

    @property
    def reach(self) -> Reach:
        """The service, at its own address."""
        return Reach(services=("postgres",), hosts=(self.login.host,))

    @property
    def symptom(self) -> Symptom | None:
        """None: the slots reserved for superusers are refused only after the password."""
        return None

    def prepare(self, run_id: str) -> "EndHolder":
        """
        See that there are slots to take; changes nothing.

        Raises:
            NotReached: some of the sessions to be ended may not be.
            PerfchaosError: the server turns us away already.

        """
        with connected(self.login, "its connections") as connection:
            if self.evict:
                require_endable(connection, self.login)
        return EndHolder(pid_file=str(state_dir() / "holders" / f"{run_id}.pid"))

    def harm(self, undo: "EndHolder") -> None:
        """Start the holder, and wait until the server has turned it away."""
        pid_file = Path(undo.pid_file)
        pid_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        child = self._start_holder()
        entry = look_up(child.pid)
        write_private(pid_file, f"{child.pid}\nstarted {entry.started if entry else 'never'}\n")
        # It keeps the pipe to its stdin open, and collects the holder when somebody has ended it.
        threading.Thread(target=_accompany, args=[child], daemon=True).start()
        assert child.stdout is not None
        ready, _, _ = select.select([child.stdout], [], [], _FULL_WITHIN_S)
        said = child.stdout.readline().decode() if ready else ""
        if not said:
            raise PerfchaosError(
                f"{self.login} still gives connections after {_FULL_WITHIN_S:g} s",
                next_step="lower its max_connections, or leave this experiment out",
            )

    def _start_holder(self) -> "subprocess.Popen[bytes]":
        login, password = self.login, self.login.password
        environment = {
            **os.environ,
            "PGHOST": login.host,
            "PGHOSTADDR": "",  # Or it would be connected to in the host's place.
            "PGPORT": str(login.port),
            "PGDATABASE": login.database,
            "PGUSER": login.user,
            "PGSSLMODE": login.sslmode,
            "PGAPPNAME": f"{APPLICATION_NAME} holder",
            **({"PGPASSWORD": password} if password is not None else {}),
        }
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "perfchaos.faults.connection_holder"),
                *(["evict"] if self.evict else []),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=environment,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EndHolder:
    """Undo of held connections: end the process that holds them."""

    mechanism: ClassVar[str] = "postgres connections held"
    pid_file: str

    def __str__(self) -> str:
        return f"end the process of {self.pid_file}"

    @property
    def lands_within_s(self) -> float:
        """A holder that was just started has noted itself by then, or ended with its run."""
        return 3.0

    def see_it_in_force(self) -> None:
        """See that the holder still runs."""
        if processes.running(Path(self.pid_file)) is None:
            raise FaultVanished(
                "the process that holds the connections of postgres has ended",
                next_step="find out who else ends processes or sessions during the run",
            )

    def replay(self) -> None:
        """End it and see that it is gone; its sessions go with it."""
        processes.kill(Path(self.pid_file))
        Path(self.pid_file).unlink(missing_ok=True)

    def last_resort(self) -> None:
        """There is no harder means than SIGKILL."""
        self.replay()


def _accompany(child: "subprocess.Popen[bytes]") -> None:
    with child:
        # Not `communicate`, which would close stdin: that is what ends the holder.
        child.wait()
