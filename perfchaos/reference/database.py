"""
Connections to Postgres, and what a failure on one says about what was written.

A write that failed is either `NotWritten`, a definite no, or `MaybeWritten`: the connection broke
after the statement was sent, and the commit may or may not have happened. Everything above turns
the first into 503 and the second into 500, and never the one into the other.

The pool is psycopg's, with three things made sure of:

- A connection that Postgres or something on the way has closed is discarded before it is used. An
  idle connection has nothing to say, so one that has become readable is saying good-bye; asking
  the socket costs a microsecond, where asking the server would cost a round trip.
- A command that takes too long has its socket shut down. Cancelling the task instead would make
  psycopg ask the server to cancel the query, and wait for the answer of a server that is silent.
- After an outage the pool refills quickly: it gives a failed connection up at once instead of
  backing off for minutes, and the next request or health check has it grow again.
"""

import asyncio
import contextlib
import os
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import psycopg
from psycopg import AsyncConnection, IsolationLevel
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from perfchaos.reference.settings import PostgresSettings

type Connection = AsyncConnection[tuple[Any, ...]]

_FOR_EVER_S = 86_400.0
_CONNECT_TIMEOUT_S = 2  # the least that psycopg honours
_ATTEMPTS_MAX = 50
_HANG_UP_TIMEOUT_S = 0.3


class _Failed(Exception):
    """`sqlstate` is what the server itself said, None where it said nothing."""

    def __init__(self, why: str, *, sqlstate: str | None = None) -> None:
        super().__init__(why)
        self.sqlstate = sqlstate


class NotWritten(_Failed):
    """Nothing was written, and nothing will be."""


class MaybeWritten(_Failed):
    """Whether it was written is not known."""


class Database:
    """
    A pool of connections in autocommit mode.

    `failures_in_row_max` is the most calls on end that failed, for whatever reason of the
    database's, since `forget_failures`; `sqlstate` is the last that the server gave as a reason.
    """

    def __init__(
        self,
        settings: PostgresSettings,
        *,
        name: str,
        pool_size: int | None = None,
        synchronous_commit: str = "on",
        pool_class: type[AsyncConnectionPool[Connection]] = AsyncConnectionPool,
    ) -> None:
        self._settings = settings
        self.failures_in_row_max = 0
        self.sqlstate: str | None = None
        self._failures_in_row = 0
        self._in_use: set[Connection] = set()
        self._leaving = False
        self._pool = pool_class(
            kwargs={
                "host": settings.host,
                "port": settings.port,
                "dbname": settings.database,
                "user": settings.user,
                "password": settings.password or None,
                "application_name": name,
                "connect_timeout": _CONNECT_TIMEOUT_S,
                "gssencmode": "disable",
                "autocommit": True,
                # Said here and not left to the server's configuration: an acknowledgement
                # promises that the commit has reached the disk.
                "options": f"-c synchronous_commit={synchronous_commit}",
            },
            min_size=pool_size or settings.pool_size,
            max_size=pool_size or settings.pool_max,
            timeout=settings.pool_timeout_s or _FOR_EVER_S,
            reconnect_timeout=settings.reconnect_timeout_s or _FOR_EVER_S,
            configure=self._configure,
            open=False,
        )

    async def open(self) -> None:
        """Start connecting. Returns at once, whether or not Postgres is there."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close(timeout=_HANG_UP_TIMEOUT_S)

    async def hang_up(self) -> None:
        """
        Break off what is under way and begin nothing new.

        To be called before the tasks that use this are cancelled: those would wait for a silent
        server to confirm that it has cancelled their query.
        """
        self._leaving = True
        for connection in self._in_use:
            _hang_up(connection)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HANG_UP_TIMEOUT_S):
                while self._in_use:  # noqa: ASYNC110 - each sees its connection broken, at once
                    await asyncio.sleep(0.01)

    async def warm_up(self) -> None:
        """
        If the settings say so, run a first query on half the pool, so that no request pays for it.

        Raises NotWritten or MaybeWritten.
        """
        if self._settings.pool_warm_up:
            await asyncio.gather(*(self._first_query() for _ in range(self._pool.min_size // 2)))

    async def _first_query(self) -> None:
        async with self.connection() as connection:
            await connection.execute("SELECT 1")

    @contextlib.asynccontextmanager
    async def connection(self, *, timeout_s: float | None = None) -> AsyncIterator[Connection]:
        """
        A connection, for at most `timeout_s` (the settings' command timeout if None).

        Raises NotWritten or MaybeWritten for what Postgres or the way to it does wrong, and
        psycopg's own errors for what the caller does wrong.
        """
        connection = await self._check_out()
        self._in_use.add(connection)
        try:
            with _time_limit(connection, timeout_s or self._settings.command_timeout_s):
                yield connection
        except psycopg.Error as error:
            if _outcome_is_unknown(connection, error):
                self._count_failure(error)
                await connection.close()
                raise MaybeWritten(_one_line(error), sqlstate=error.sqlstate) from error
            if _is_the_database_s_fault(error):
                self._count_failure(error)
                raise NotWritten(_one_line(error), sqlstate=error.sqlstate) from error
            raise
        else:
            self._failures_in_row = 0
        finally:
            self._in_use.discard(connection)
            await self._pool.putconn(connection)

    async def transaction[T](self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """
        What `work` returns, done in a transaction of the settings' isolation level.

        Done again when Postgres found that it could not be serialised or met a deadlock: then
        nothing of it was written. Raises as `connection` does.
        """
        for _ in range(_ATTEMPTS_MAX):
            with contextlib.suppress(
                psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected
            ):
                async with self.connection() as connection, connection.transaction():
                    return await work(connection)
        raise NotWritten(f"could not be serialised in {_ATTEMPTS_MAX} attempts")

    async def _check_out(self) -> Connection:
        if self._leaving:
            raise NotWritten("the process is leaving")
        try:
            while True:
                connection = await self._pool.getconn()
                if not (self._settings.pool_check and _has_hung_up(connection)):
                    return connection
                await connection.close()
                await self._pool.putconn(connection)
        except (PoolTimeout, psycopg.OperationalError) as error:
            self._count_failure(error)
            raise NotWritten(_one_line(error), sqlstate=error.sqlstate) from error

    def forget_failures(self) -> None:
        """Count from now on."""
        self.failures_in_row_max = self._failures_in_row = 0
        self.sqlstate = None

    def _count_failure(self, error: psycopg.Error) -> None:
        self.sqlstate = error.sqlstate or self.sqlstate
        self._failures_in_row += 1
        self.failures_in_row_max = max(self.failures_in_row_max, self._failures_in_row)

    async def _configure(self, connection: Connection) -> None:
        level = IsolationLevel[self._settings.isolation.name]
        await connection.set_isolation_level(level)


def _has_hung_up(connection: Connection) -> bool:
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


@contextlib.contextmanager
def _time_limit(connection: Connection, seconds: float | None) -> Iterator[None]:
    if seconds is None:
        yield
        return
    alarm = asyncio.get_running_loop().call_later(seconds, _hang_up, connection)
    try:
        yield
    finally:
        alarm.cancel()


def _hang_up(connection: Connection) -> None:
    """Shut the socket down under whoever waits on it, who then sees the connection broken."""
    if connection.closed:
        return
    with socket.socket(fileno=os.dup(connection.fileno())) as own, contextlib.suppress(OSError):
        own.shutdown(socket.SHUT_RDWR)


def _outcome_is_unknown(connection: Connection, error: psycopg.Error) -> bool:
    """
    Whether a commit may have happened in spite of `error`.

    It cannot have when the server itself reports an ERROR: then the transaction is rolled back. A
    server that takes leave (FATAL, PANIC) may have committed before it did.
    """
    return (
        connection.closed
        or error.sqlstate is None
        or error.diag.severity_nonlocalized in {"FATAL", "PANIC"}
    )


def _is_the_database_s_fault(error: psycopg.Error) -> bool:
    """Operational troubles, and a server that became read-only; not a wrong statement."""
    if isinstance(error, psycopg.errors.SerializationFailure | psycopg.errors.DeadlockDetected):
        return False
    return isinstance(error, psycopg.OperationalError | psycopg.errors.ReadOnlySqlTransaction)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
