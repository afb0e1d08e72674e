"""A real Postgres of the ledger's own, with a table of effects."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from perfchaos import processes
from perfchaos.stack.ports import HOST
from perfchaos.stack.postgres_server import DATABASE, USER, postgres_home, postgres_server
from perfchaos.target import BlastRadius, Postgres, Target
from perfchaos.workload.plan import RequestTemplate
from tests.redis_server import free_port

PASSWORD = "for-the-tests-only"
QUERY = "SELECT id, count(*) FROM effects WHERE id BETWEEN %(first)s AND %(last)s GROUP BY id"


@pytest.fixture(scope="package")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A Postgres of its own, as a target file would name it."""
    folder = tmp_path_factory.mktemp("postgres")
    (folder / "logs").mkdir()
    port, pid_file = free_port(), folder / "postgres.pid"
    server = postgres_server(folder, port=port, password=PASSWORD)
    server.prepare()
    processes.start(server.launch, pid_file)
    try:
        deadline_s = time.monotonic() + 20
        while problem := server.problem():
            assert time.monotonic() < deadline_s, problem
        yield Postgres(
            host=HOST,
            port=port,
            database=DATABASE,
            user=USER,
            password_env="LEDGER_PASSWORD",
            sslmode="prefer",
            proxy=None,
            control=None,
        )
    finally:
        processes.kill(pid_file)
        shutil.rmtree(postgres_home(folder), ignore_errors=True)


@pytest.fixture
def effects(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A connection to the database, with an empty table `effects (id uuid)`."""
    monkeypatch.setenv("LEDGER_PASSWORD", PASSWORD)
    with psycopg.connect(
        host=HOST,
        port=postgres.port,
        dbname=DATABASE,
        user=USER,
        password=PASSWORD,
        autocommit=True,
    ) as connection:
        connection.execute("DROP TABLE IF EXISTS effects")
        connection.execute("CREATE TABLE effects (id uuid NOT NULL)")
        yield connection


@pytest.fixture
def target(postgres: Postgres) -> Target:
    """A target whose ledger is the table `effects`."""
    return Target(
        path=Path("target.yaml"),
        name="ledger",
        webhook=RequestTemplate(
            method="POST",
            url="http://127.0.0.1:1/",
            headers=(),
            body="{uuid}",
            signing=None,
            acknowledged=(202,),
            refused=None,
            timeout_s=1,
        ),
        health_url=None,
        redis=None,
        postgres=postgres,
        toxiproxy=None,
        race=None,
        ledger_query=QUERY,
        blast_radius=BlastRadius(
            proxies=frozenset(),
            services=frozenset(),
            containers=(),
            addresses=(HOST,),
            longest_fault_s=1,
        ),
    )
