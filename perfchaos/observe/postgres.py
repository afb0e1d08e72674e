"""
Looks at Postgres itself, around any proxy: does its process run, does it accept, does it write.

What a look finds is the server's own share of an outage; what the application takes on top of it
is the application's. A write is proved by a commit that touches no table: see `PROOF_OF_WRITING`.

The commit waits for the disk only where the look before did not find the server writing. One that
waits takes all that was committed before it to the disk as well: ten of them a second would save,
in a crash, what a target that commits without waiting has acknowledged too soon, and nobody would
see it lost.
"""

import contextlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from perfchaos.errors import PerfchaosError
from perfchaos.observe.sampler import Reading
from perfchaos.observe.unused import unused
from perfchaos.postgres_client import (
    APPLICATION_NAME,
    PROOF_OF_WRITING,
    Connection,
    Login,
    connect,
    first_line,
)
from perfchaos.processes import running
from perfchaos.timeline import Fact

LOOK_EVERY_S = 0.1
STUCK_AFTER_S = 2.0
IDLE_IN_TRANSACTION_AFTER_S = 1.0

# Within a look an absent server is tried this often: it is the resolution of its coming back.
_TRY_EVERY_S = 0.03
# A session knows the settings of its birth, so it is renewed this often.
_RENEWED_EVERY_S = 0.5
_PATIENCE_S = 1.0
_KNOCK_S = 0.5
# What every server answers at once, with a yes or a no, before it knows who asks.
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)

_SPARING_PROOF = f"{PROOF_OF_WRITING}, set_config('synchronous_commit', 'off', true)"

_SESSIONS = """
    SELECT count(*),
        count(*) FILTER (
            WHERE state = 'active' AND clock_timestamp() - query_start > make_interval(secs => %s)
        ),
        count(*) FILTER (
            WHERE state LIKE 'idle in transaction%%'
              AND clock_timestamp() - state_change > make_interval(secs => %s)
        ),
        count(*) FILTER (WHERE clock_timestamp() - backend_start < interval '1 s'),
        array_agg(
            extract(epoch FROM clock_timestamp() - coalesce(state_change, backend_start, 'epoch'))
                ::float8
        )
    FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend'
      AND application_name NOT LIKE %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """
    The target's sessions, as the server lists them to their own user.

    `stuck` have been in one statement, and `idle_in_transaction` in one pause of a transaction, for
    longer than the limits above; `started` came within the last second. `unused_s` are the seconds
    for which each that was not used in the last of them has not been; very many where the server
    does not show it to this user.
    """

    connections: int
    stuck: int
    idle_in_transaction: int
    started: int
    unused_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresState:
    """
    The server at one look; instants in CLOCK_MONOTONIC nanoseconds.

    It `accepts` if a session could be had, and `writes` if a commit came back; `seen_ns` is when
    that was known, and `missed_ns` the last moment at which it was not so. `process` is None where
    it is not controlled by a pid file. `sqlstate` and `said` are the server's last complaint.
    """

    process: bool | None
    accepts: bool
    writes: bool
    seen_ns: int
    missed_ns: int | None
    sqlstate: str | None
    said: str | None
    sessions: Sessions | None

    def facts(self) -> Mapping[str, Fact]:
        """The state as values of a reading."""
        plain = asdict(self)
        sessions = plain.pop("sessions")
        if sessions is not None:
            sessions["unused_s"] = json.dumps(sessions["unused_s"])
        return {**plain, **(sessions or {})}

    @classmethod
    def of(cls, reading: Reading) -> "PostgresState | None":
        """The state in a reading; None for a look that failed."""
        if reading.failed is not None:
            return None
        facts = dict(reading.values)
        sessions = None
        if "unused_s" in facts:
            unused_s = tuple(json.loads(str(facts.pop("unused_s"))))
            counts = {name: facts.pop(name) for name in Sessions.__slots__ if name in facts}
            sessions = Sessions(**counts, unused_s=unused_s)  # type: ignore[arg-type]  # as written
        return cls(**facts, sessions=sessions)  # type: ignore[arg-type]  # as written


class PostgresLook:
    """Looks at a server whenever it is called, over a session of its own, renewed now and then."""

    def __init__(self, login: Login, *, pid_file: Path | None) -> None:
        self._login = login
        self._pid_file = pid_file
        self._session: Connection | None = None
        self._born_s = 0.0
        self._wrote = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._hang_up()

    def __call__(self) -> Mapping[str, Fact]:
        """The server's state, within a few tenths of a second, or two if it is silent."""
        return self.look().facts()

    def look(self) -> PostgresState:
        """The state, tried for until it is well or the next look is due."""
        due_s = time.monotonic() + LOOK_EVERY_S - _TRY_EVERY_S
        missed_ns = None
        while True:
            state = self._try(missed_ns)
            if state.writes or time.monotonic() >= due_s:
                return state
            missed_ns = state.missed_ns or state.seen_ns
            time.sleep(_TRY_EVERY_S)

    def _try(self, missed_ns: int | None) -> PostgresState:
        began_ns = time.monotonic_ns()
        accepts, writes, sessions = True, False, None
        sqlstate = said = None
        try:
            self._renew()
        except psycopg.Error as error:
            accepts, sqlstate, said = False, error.sqlstate, first_line(error)
        if self._session is not None:
            try:
                with _time_limit(self._session):
                    if accepts:
                        writes = _writes(self._session, durably=not self._wrote)
                    seen_ns = time.monotonic_ns()
                    sessions = _sessions(self._session)
            except psycopg.Error as error:
                sqlstate, said = error.sqlstate, first_line(error)
                accepts = accepts and not self._session.closed
                self._hang_up()
        if sessions is None:
            # It was not well when this began; of the end of the wait nothing is known.
            seen_ns, missed_ns, writes = time.monotonic_ns(), began_ns, False
        self._wrote = writes
        return PostgresState(
            process=None if self._pid_file is None else running(self._pid_file) is not None,
            accepts=accepts,
            writes=writes,
            seen_ns=seen_ns,
            missed_ns=missed_ns,
            sqlstate=sqlstate,
            said=said,
            sessions=sessions,
        )

    def _renew(self) -> None:
        """A young session; the old one is kept where there is no other to be had."""
        if self._session is not None and time.monotonic() - self._born_s < _RENEWED_EVERY_S:
            return
        if self._session is None and not _answers(self._login):
            raise psycopg.OperationalError("it does not answer")
        young = connect(self._login)
        self._hang_up()
        self._session, self._born_s = young, time.monotonic()

    def _hang_up(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def _answers(login: Login) -> bool:
    """
    Whether anything answers there soon.

    A client library waits two seconds at least. A container that has just been started swallows
    the first connection for one of them, and a second connection a moment later is served.
    """
    if login.host.startswith("/"):
        return True  # A socket in the file system has nothing between.
    try:
        with socket.create_connection((login.host, login.port), timeout=_KNOCK_S) as knock:
            knock.sendall(_SSL_REQUEST)
            return bool(knock.recv(1))
    except OSError:
        return False


def _writes(session: Connection, *, durably: bool) -> bool:
    row = session.execute(
        "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean"
    ).fetchone()
    if row != (False,):
        return False
    session.execute(PROOF_OF_WRITING if durably else _SPARING_PROOF)
    return True


def _sessions(session: Connection) -> Sessions:
    limits = [STUCK_AFTER_S, IDLE_IN_TRANSACTION_AFTER_S, f"{APPLICATION_NAME}%"]
    row = session.execute(_SESSIONS, limits).fetchone()
    if row is None:
        raise PerfchaosError(
            "pg_stat_activity gave no row", next_step="see what stands before Postgres"
        )
    connections, stuck, idle, started, unused_s = row
    return Sessions(
        connections=connections,
        stuck=stuck,
        idle_in_transaction=idle,
        started=started,
        unused_s=unused(unused_s or ()),
    )


@contextlib.contextmanager
def _time_limit(session: Connection) -> Iterator[None]:
    """Shut the socket down under a session whose server is silent: no timeout of its own helps."""
    alarm = threading.Timer(_PATIENCE_S, _shut_down, args=[session])
    alarm.daemon = True
    alarm.start()
    try:
        yield
    finally:
        alarm.cancel()


def _shut_down(session: Connection) -> None:
    with suppress(psycopg.Error, OSError):
        with socket.socket(fileno=os.dup(session.fileno())) as own:
            own.shutdown(socket.SHUT_RDWR)
