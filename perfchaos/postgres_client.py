"""The target's Postgres, asked at its own address, around any proxy; never for long."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import pq

from perfchaos.errors import PerfchaosError
from perfchaos.target.records import secret

if TYPE_CHECKING:
    from perfchaos.target import Target

APPLICATION_NAME = "perfchaos"
"""What all our sessions call themselves, so that they are told from the target's own."""

CONNECT_TIMEOUT_S = 2
ANSWER_TIMEOUT_S = 10

# What a write is proved with. The message goes into the write-ahead log as a part of the
# transaction, so that the commit has to reach the disk like any other; it is in no table, and
# nobody reads it but a logical decoder that asks for the prefix. A transaction id alone would not
# do: a commit with nothing in the log is not waited for.
PROOF_OF_WRITING = "SELECT pg_logical_emit_message(true, 'perfchaos', '')"

type Connection = psycopg.Connection[tuple[Any, ...]]


class PostgresUnavailable(PerfchaosError):
    """The target's Postgres could not be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """
    Who asks which database. Plain data without a secret.

    `password_env` names the environment variable of the password, `target_file` the target file
    whose secrets hold it where it is not set.
    """

    host: str
    port: int
    database: str
    user: str
    password_env: str | None
    sslmode: str
    target_file: str

    def __str__(self) -> str:
        return f"postgres at {self.host}:{self.port}"

    @property
    def password(self) -> str | None:
        """
        The password, or None where the server asks for none.

        Raises:
            PerfchaosError: it is neither in the environment nor among the target's secrets.

        """
        if self.password_env is not None and self.password_env not in os.environ:
            # Seldom needed, and slow to import for a watchdog that must be up in no time.
            from perfchaos.target.loading import load_target  # noqa: PLC0415

            load_target(Path(self.target_file))  # It enters the secrets into the environment.
        return secret(self.password_env)


def login_of(target: "Target") -> Login:
    """
    How the target's Postgres is asked.

    Raises:
        PerfchaosError: it has none.

    """
    postgres = target.postgres
    if postgres is None:
        raise PerfchaosError(
            f"target {target.name!r} has no postgres",
            next_step=f"give {target.path} a postgres section",
        )
    return Login(
        host=postgres.host,
        port=postgres.port,
        database=postgres.database,
        user=postgres.user,
        password_env=postgres.password_env,
        sslmode=postgres.sslmode,
        target_file=str(target.path),
    )


def connect(login: Login, *, options: str = "") -> Connection:
    """
    A session in autocommit mode; `options` are settings of the server for it (`-c name=value`).

    Raises psycopg's own errors.
    """
    return psycopg.connect(
        host=login.host,
        hostaddr="",  # Whatever PGHOSTADDR says.
        port=login.port,
        dbname=login.database,
        user=login.user,
        password=login.password,
        sslmode=login.sslmode,
        connect_timeout=CONNECT_TIMEOUT_S,
        application_name=APPLICATION_NAME,
        options=f"-c statement_timeout={ANSWER_TIMEOUT_S * 1000} {options}",
        autocommit=True,
    )


@contextmanager
def connected(login: Login, about: str, *, options: str = "") -> Iterator[Connection]:
    """
    A session for one purpose, closed afterwards.

    Raises:
        PostgresUnavailable: it cannot be reached, or does not do what it is asked.

    """
    try:
        with connect(login, options=options) as connection:
            yield connection
    except psycopg.Error as error:
        raise PostgresUnavailable(
            f"{login} cannot be asked about {about} ({first_line(error)})",
            next_step="see that it is up, and check the section 'postgres' of the target file",
        ) from None


def ping(host: str, port: int) -> pq.Ping:
    """Whether a server accepts sessions, refuses them for now, or does not answer. No password."""
    conninfo = f"host={host} port={port} connect_timeout={CONNECT_TIMEOUT_S} sslmode=disable"
    return pq.Ping(pq.PGconn.ping(conninfo.encode()))


def first_line(error: psycopg.Error) -> str:
    """What the server or the client library says is wrong, in one line."""
    said = error.diag.message_primary or str(error)
    return said.strip().partition("\n")[0] or type(error).__name__
