"""A laboratory: a real Postgres of the tests' own, started as that of the stack is."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from psycopg import pq

from perfchaos import processes
from perfchaos.faults import Controlled, Route
from perfchaos.postgres_client import Connection, Login, connect, ping
from perfchaos.stack.postgres_server import (
    DATABASE,
    USER,
    _run_single,
    find_postgres,
    postgres_home,
    postgres_server,
    unprivileged_account,
)
from tests.ports import free_ports

HOST = "127.0.0.1"
PASSWORD_ENV = "POSTGRES_LAB_PASSWORD"
SUPERUSER = "superuser"
_READY_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresLab:
    """A Postgres with the database and the user of the stack; its user owns the database."""

    folder: Path
    login: Login

    @property
    def pid_file(self) -> Path:
        return self.folder / "postgres.pid"

    @property
    def data(self) -> Path:
        return postgres_home(self.folder) / "data"

    @property
    def controlled(self) -> Controlled:
        route = Route(
            protocol="postgres",
            host=HOST,
            port=self.login.port,
            user=self.login.user,
            database=self.login.database,
        )
        return Controlled(dependency="postgres", pid_file=str(self.pid_file), route=route)

    def start(self) -> None:
        """Start it unless it runs, and wait until it accepts sessions."""
        processes.start_again(self.pid_file)
        deadline_s = time.monotonic() + _READY_WITHIN_S
        while ping(HOST, self.login.port) is not pq.Ping.OK:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)

    def client(self, name: str = "a client") -> Connection:
        """A session of somebody who is not us."""
        connection = connect(self.login)
        connection.execute("SELECT set_config('application_name', %s, false)", [name])
        return connection

    def superuser(self) -> Connection:
        """A session of the server's superuser."""
        return connect(replace(self.login, user=SUPERUSER))


@contextmanager
def open_postgres_lab(folder: Path) -> Iterator[PostgresLab]:
    """A laboratory in a folder of its own, gone at the end."""
    (folder / "logs").mkdir()
    [port] = free_ports(1)
    os.environ[PASSWORD_ENV] = "in the laboratory"
    server = postgres_server(folder, port=port, password=os.environ[PASSWORD_ENV])
    server.prepare()
    _run_single(
        find_postgres(unprivileged_account()).postgres,
        unprivileged_account(),
        postgres_home(folder) / "data",
        f"CREATE ROLE {SUPERUSER} SUPERUSER LOGIN PASSWORD '{os.environ[PASSWORD_ENV]}'\n",
    )
    # Few slots are soon taken, and what nobody waits for stays in memory for long.
    few, lazy = ("-c", "max_connections=20"), ("-c", "wal_writer_delay=10s")
    launch = replace(server.launch, argv=(*server.launch.argv, *few, *lazy))
    pid_file = server.pid_file(folder)
    processes.start(launch, pid_file)
    try:
        deadline_s = time.monotonic() + _READY_WITHIN_S
        while problem := server.problem():
            assert time.monotonic() < deadline_s, problem
            time.sleep(0.02)
        login = Login(
            host=HOST,
            port=port,
            database=DATABASE,
            user=USER,
            password_env=PASSWORD_ENV,
            sslmode="prefer",
            target_file="",
        )
        yield PostgresLab(folder=folder, login=login)
    finally:
        processes.kill(pid_file)
        shutil.rmtree(postgres_home(folder), ignore_errors=True)
