"""
The fault `read-only Postgres`: it takes leave of its clients and comes back refusing every write.

As after a failover to a server that nobody promoted, or with a disk that an operator has protected.
The owner of a database may set it read-only for new sessions, so one database is harmed and not
the whole cluster, and no superuser is needed; the sessions of old are ended (57P01), and those
that come in their place read and cannot write (25006).

It is for every role. A role that has a setting of its own, or whose sessions we may not end, would
go on writing: then nothing is done, and the role is named. A session that makes itself writable
again is found when it writes.
"""

from dataclasses import dataclass
from typing import ClassVar

import psycopg
from psycopg import sql

from perfchaos.errors import PerfchaosError
from perfchaos.faults.fault import FaultVanished, Reach
from perfchaos.faults.postgres_sessions import (
    NotReached,
    end_sessions,
    require_endable,
    writers,
)
from perfchaos.faults.witness import Symptom
from perfchaos.postgres_client import (
    ANSWER_TIMEOUT_S,
    PROOF_OF_WRITING,
    Connection,
    Login,
    connected,
)

_SETTING = "default_transaction_read_only"
# Our own session must be able to take the setting back while it is in force.
_WRITABLE = f"-c {_SETTING}=off"
_ABOUT = "making it read-only"

_PREVIOUS = """
    SELECT split_part(setting, '=', 2)
    FROM pg_db_role_setting, unnest(setconfig) AS setting
    WHERE setrole = 0 AND split_part(setting, '=', 1) = %s
      AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_OVERRULING = """
    SELECT DISTINCT ON (rolname) rolname, NOT split_part(setting, '=', 2)::boolean
    FROM pg_db_role_setting JOIN pg_roles ON pg_roles.oid = setrole, unnest(setconfig) AS setting
    WHERE split_part(setting, '=', 1) = %s AND rolcanlogin
      AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND has_database_privilege(rolname, current_database(), 'CONNECT')
    ORDER BY rolname, setdatabase DESC
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOnlyPostgres:
    """The database of `login` read-only for its clients. Its user must own it."""

    login: Login

    @property
    def kind(self) -> str:
        """What the target notices."""
        return "read-only"

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
        """None: a ping is answered as before."""
        return None

    def prepare(self, run_id: str) -> "MakeWritable":  # noqa: ARG002 - a database has one setting
        """
        Note the setting as it is, and see that it can be changed; changes nothing.

        Raises:
            NotReached: some role would stay writable.
            PerfchaosError: the user does not own the database, or it is read-only already.

        """
        with connected(self.login, _ABOUT) as connection:
            row = connection.execute(_PREVIOUS, [_SETTING]).fetchone()
            may = connection.execute(
                "SELECT pg_has_role(datdba, 'USAGE') FROM pg_database"
                " WHERE datname = current_database()"
            ).fetchone()
            if may != (True,):
                raise PerfchaosError(
                    f"{self.login.user!r} does not own the database {self.login.database!r}, "
                    "so it may not make it read-only",
                    next_step="name its owner as postgres.user in the target file",
                )
            if not _writable(connection):
                raise PerfchaosError(
                    f"{self.login} is read-only already, so making it so shows nothing",
                    next_step="make it writable first",
                )
            self._require_nobody_overrules(connection)
            require_endable(connection, self.login)
        return MakeWritable(login=self.login, previous=row[0] if row else None)

    def harm(self, undo: "MakeWritable") -> None:
        """Set it, end the sessions that do not know of it, and see that a new one cannot write."""
        with connected(self.login, _ABOUT) as connection:
            _set(connection, self.login.database, "on")
            require_endable(connection, self.login)  # Others may have come meanwhile.
            end_sessions(connection)
        with connected(self.login, _ABOUT) as connection:
            if _writable(connection):
                raise PerfchaosError(
                    f"{self.login} takes writes although it was made read-only",
                    next_step=f"see whether the user {undo.login.user!r} has a setting of its own",
                )

    def _require_nobody_overrules(self, connection: Connection) -> None:
        """See that no role has a setting of its own, which would overrule the database's."""
        found = connection.execute(_OVERRULING, [_SETTING]).fetchall()
        writable = [role for role, stays_writable in found if stays_writable]
        if writable:
            named = ", ".join(repr(role) for role in writable)
            raise NotReached(
                f"the database {self.login.database!r} made read-only would stay writable for "
                f"{named}, by a setting of its own",
                next_step="; ".join(
                    f"ALTER ROLE {role} RESET {_SETTING} (or ALTER ROLE {role} IN DATABASE "
                    f"{self.login.database} RESET {_SETTING})"
                    for role in writable
                ),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeWritable:
    """Undo of a read-only database: the setting as it was, and no session that knows another."""

    mechanism: ClassVar[str] = "postgres read-only"
    login: Login
    previous: str | None

    def __str__(self) -> str:
        value = "reset it" if self.previous is None else f"set it to {self.previous}"
        return f"{_SETTING} of database {self.login.database!r} at {self.login}: {value}"

    @property
    def lands_within_s(self) -> float:
        """As long as the server may wait over a statement whose client has gone."""
        return ANSWER_TIMEOUT_S

    def see_it_in_force(self) -> None:
        """See that the setting still is as it was made, and that nobody writes in spite of it."""
        with connected(self.login, _ABOUT, options=_WRITABLE) as connection:
            value, writing = self._value(connection), writers(connection)
        if value != "on":
            raise FaultVanished(
                f"{_SETTING} of database {self.login.database!r} is "
                f"{'reset' if value is None else repr(value)}, no longer 'on'",
                next_step="find out who else changes it during the run",
            )
        if writing is not None:
            raise NotReached(
                f"sessions of {writing} write to the database {self.login.database!r} although it "
                "is read-only",
                next_step=f"see whether they set {_SETTING} themselves when they connect",
            )

    def replay(self) -> None:
        """
        Put the setting back, end the sessions that cannot write, and see that one can.

        The previous value comes last, after another word for writable: whoever finds that word
        knows that sessions may be left to be ended, and does it all again.
        """
        with connected(self.login, _ABOUT, options=_WRITABLE) as connection:
            if self._value(connection) == self.previous:
                return
            _set(connection, self.login.database, "no" if self.previous != "no" else "false")
            end_sessions(connection)
            require_endable(connection, self.login)  # Else some stay read-only.
            _set(connection, self.login.database, self.previous)
        with connected(self.login, _ABOUT) as connection:
            if not _writable(connection):
                raise PerfchaosError(
                    f"{self.login} is still read-only",
                    next_step=f"by hand: {self}",
                )

    def last_resort(self) -> None:
        """There is no harder means than the setting."""
        self.replay()

    def _value(self, connection: Connection) -> str | None:
        row = connection.execute(_PREVIOUS, [_SETTING]).fetchone()
        return row[0] if row else None


def _set(connection: Connection, database: str, value: str | None) -> None:
    statement = sql.SQL("ALTER DATABASE {} {}").format(
        sql.Identifier(database),
        sql.SQL("RESET " + _SETTING)
        if value is None
        else sql.SQL("SET " + _SETTING + " = {}").format(sql.Literal(value)),
    )
    connection.execute(statement)


def _writable(connection: Connection) -> bool:
    """Whether a session as the target's commits a write."""
    read_only = connection.execute("SHOW transaction_read_only").fetchone()
    if read_only != ("off",):
        return False
    try:
        connection.execute(PROOF_OF_WRITING)
    except psycopg.Error:
        return False
    return True
