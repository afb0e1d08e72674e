"""How the tests reach the servers of a stack, and their processes."""

import psycopg
from redis import Redis

from perfchaos import processes
from perfchaos.launches import read_environment_file
from perfchaos.stack.ports import HOST
from perfchaos.stack.postgres_server import DATABASE, USER
from tests.stack.conftest import Stack

NAMES = ["postgres", "redis", "toxiproxy", "service", "worker"]


def redis(stack: Stack) -> Redis:
    password = read_environment_file(stack.home / "secrets.env")["REDIS_PASSWORD"]
    return Redis(host=HOST, port=stack.ports.redis_proxy, password=password)


def postgres(stack: Stack) -> psycopg.Connection:
    return psycopg.connect(
        host=HOST,
        port=stack.ports.postgres_proxy,
        dbname=DATABASE,
        user=USER,
        password=read_environment_file(stack.home / "secrets.env")["POSTGRES_PASSWORD"],
    )


def table_exists(stack: Stack, name: str) -> bool:
    with postgres(stack) as connection:
        row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (name,)).fetchone()
    return row is not None and bool(row[0])


def family(stack: Stack, name: str) -> list[processes.Process]:
    process = processes.running(stack.pid_file(name))
    assert process is not None
    return process.family()
