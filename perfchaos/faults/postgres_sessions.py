"""
The sessions of others in a database, of whatever role: who they are, and that they are ended.

An application seldom logs in as the owner of its database. A fault that ends the sessions of one
role leaves the others at work, and shows nothing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.rows import class_row

from perfchaos.errors import PerfchaosError
from perfchaos.postgres_client import APPLICATION_NAME, Connection, Login

# Whoever may not look at a session sees neither its type nor its transaction, but whose it is; and
# anybody sees locks. Each transaction that has written holds one on its own number.
_OTHERS = """
    SELECT pid, coalesce(usename, 'a dropped role') AS role,
      pid IN (SELECT pid FROM pg_locks WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock')
      AS writes,
      (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
      OR NOT coalesce(role.rolsuper, false)
        AND (pg_has_role(usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE'))
      AS endable
    FROM pg_stat_activity LEFT JOIN pg_roles AS role ON role.oid = usesysid
    WHERE datname = current_database() AND usesysid IS NOT NULL
      AND coalesce(backend_type, 'client backend') = 'client backend'
      AND application_name NOT LIKE %s
"""


class NotReached(PerfchaosError):
    """A fault leaves out sessions of the target."""


def end_sessions(connection: Connection) -> int:
    """End all sessions of others in the database that may be ended; how many they were."""
    pids = [other.pid for other in _others(connection) if other.endable]
    connection.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::integer[]) AS pid", [pids])
    return len(pids)


def require_endable(connection: Connection, login: Login) -> None:
    """
    See that all sessions of others in the database may be ended.

    Raises:
        NotReached: some may not; it names whose they are.

    """
    roles = [other.role for other in _others(connection) if not other.endable]
    if roles:
        raise NotReached(
            f"{login.user!r} may not end the sessions of {_counted(roles)} in the database "
            f"{login.database!r}, so they would go on untouched",
            next_step=f"GRANT pg_signal_backend TO {login.user} (a superuser's sessions can be "
            "ended by a superuser only), or end those sessions first",
        )


def writers(connection: Connection) -> str | None:
    """Whose sessions are writing just now, in words; None if nobody's are."""
    roles = [other.role for other in _others(connection) if other.writes]
    return _counted(roles) if roles else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Other:
    pid: int
    role: str
    writes: bool
    endable: bool


def _others(connection: Connection) -> list[_Other]:
    with connection.cursor(row_factory=class_row(_Other)) as cursor:
        return cursor.execute(_OTHERS, [f"{APPLICATION_NAME}%"]).fetchall()


def _counted(roles: Sequence[str]) -> str:
    return ", ".join(f"{role!r} ({count})" for role, count in sorted(Counter(roles).items()))
