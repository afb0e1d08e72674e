"""Who comes past a proxy is told from who comes through it, at a real Redis and Postgres."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import redis

from perfchaos.faults import Route
from perfchaos.observe.clients import postgres_clients, redis_clients
from perfchaos.postgres_client import Connection, connect
from perfchaos.redis_client import RedisUnavailable
from perfchaos.target import Redis
from tests.lab import HOST, Lab
from tests.ports import free_ports
from tests.postgres_lab import PostgresLab

pytest_plugins = ["tests.postgres_fixtures"]

PAST = rf"1 x pid {os.getpid()} "


def server_of(lab: Lab) -> Redis:
    return Redis(
        host=HOST,
        port=lab.redis_port,
        database=0,
        username=None,
        password_env=None,
        tls=False,
        proxy="redis",
        control=None,
        queue=None,
    )


@contextmanager
def redis_client(port: int) -> Iterator[None]:
    with redis.Redis(host=HOST, port=port) as client:
        client.ping()
        yield


def test_a_redis_nobody_uses_has_no_clients(lab: Lab) -> None:
    found = redis_clients(server_of(lab), lab.proxied.route)
    assert (found.through, found.past, found.who) == (0, 0, ())


def test_clients_through_the_proxy_are_where_they_should_be(lab: Lab) -> None:
    with redis_client(lab.proxy_port), redis_client(lab.proxy_port):
        found = redis_clients(server_of(lab), lab.proxied.route)
    assert (found.through, found.past) == (2, 0)


def test_a_client_past_the_proxy_is_named(lab: Lab) -> None:
    with redis_client(lab.redis_port), redis_client(lab.proxy_port):
        found = redis_clients(server_of(lab), lab.proxied.route)
    assert (found.through, found.past) == (1, 1)
    assert found.who[0].startswith(PAST)


def test_a_client_through_another_proxy_of_the_same_server_is_past_this_one(lab: Lab) -> None:
    [port] = free_ports(1)
    proxy = {"name": "another", "listen": f"{HOST}:{port}", "enabled": True}
    with lab.server() as server:
        server.call("POST", "/proxies", {**proxy, "upstream": f"{HOST}:{lab.redis_port}"})
        try:
            with redis_client(port), redis_client(lab.proxy_port), redis_client(lab.proxy_port):
                found = redis_clients(server_of(lab), lab.proxied.route)
        finally:
            server.call("DELETE", "/proxies/another")
    assert (found.through, found.past) == (2, 1)
    assert "another of its proxies" in found.who[0]


def test_a_redis_that_cannot_be_asked_says_so(lab: Lab) -> None:
    with lab.server() as server:
        server.set_enabled("redis", enabled=False)
    with pytest.raises(RedisUnavailable, match="through its proxy"):
        redis_clients(server_of(lab), lab.proxied.route)


@pytest.fixture
def before_postgres(lab: Lab, postgres: PostgresLab) -> Iterator[Route]:
    """Where a proxy before Postgres listens."""
    [port] = free_ports(1)
    upstream = f"{HOST}:{postgres.login.port}"
    proxy = {"name": "postgres", "listen": f"{HOST}:{port}", "upstream": upstream, "enabled": True}
    with lab.server() as server:
        server.call("POST", "/proxies", proxy)
        yield replace(lab.proxied.route, protocol="postgres", port=port)
        server.call("DELETE", "/proxies/postgres")


@contextmanager
def postgres_client(lab: PostgresLab, port: int) -> Iterator[Connection]:
    with connect(replace(lab.login, port=port)) as session:
        session.execute("SET application_name = 'a client'")
        yield session


def test_sessions_of_postgres_are_told_apart_too(
    postgres: PostgresLab, before_postgres: Route
) -> None:
    with postgres_client(postgres, before_postgres.port):
        found = postgres_clients(postgres.login, before_postgres)
        assert (found.through, found.past) == (1, 0)
        with postgres_client(postgres, postgres.login.port):
            found = postgres_clients(postgres.login, before_postgres)
        assert (found.through, found.past) == (1, 1)
        assert found.who[0].startswith(PAST)
