"""Who comes past a proxy is told from who comes through it, at a real Redis and Postgres."""

import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import pytest

from perfchaos import sockets
from perfchaos.faults import Proxied
from perfchaos.observe.clients import postgres_clients, redis_clients
from perfchaos.redis_client import RedisUnavailable
from perfchaos.target import Redis
from tests.lab import HOST, Lab
from tests.ports import free_ports
from tests.postgres_lab import PostgresLab

pytest_plugins = ["tests.postgres_fixtures"]

# Clients of Redis are other processes: what this one has open is perfchaos's own.
_PINGING = """
import socket, sys
client = socket.socket()
client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
client.bind(("127.0.0.1", int(sys.argv[2])))
client.connect(("127.0.0.1", int(sys.argv[1])))
client.sendall(b"PING\\r\\n")
client.recv(100)
print(client.getsockname()[1], flush=True)
sys.stdin.read()
"""
_IP_LOCAL_PORT_RANGE = 51  # since Linux 6.3; its number is not in Python
_AT_POSTGRES = """
import sys, psycopg
session = psycopg.connect(sys.argv[1], password=sys.argv[2], application_name="a client")
print(flush=True)
sys.stdin.read()
"""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Another process with a connection of its own, made from `port`."""

    pid: int
    port: int


@contextmanager
def client_process(script: str, *arguments: str) -> Iterator[Client]:
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        yield Client(pid=process.pid, port=int(said or 0))


@contextmanager
def redis_client(port: int, *, local_port: int = 0) -> Iterator[Client]:
    with client_process(_PINGING, str(port), str(local_port)) as client:
        yield client


def test_a_redis_nobody_uses_has_no_clients(lab: Lab) -> None:
    found = redis_clients(server_of(lab), lab.proxied)
    assert (found.through, found.past, found.who) == (0, 0, ())


def test_clients_through_the_proxy_are_where_they_should_be(lab: Lab) -> None:
    with redis_client(lab.proxy_port), redis_client(lab.proxy_port):
        found = redis_clients(server_of(lab), lab.proxied)
    assert (found.through, found.past) == (2, 0)


def test_a_client_past_the_proxy_is_named(lab: Lab) -> None:
    with redis_client(lab.redis_port) as past, redis_client(lab.proxy_port):
        found = redis_clients(server_of(lab), lab.proxied)
    assert (found.through, found.past) == (1, 1)
    assert found.who[0].startswith(f"1 x pid {past.pid} ")


@contextmanager
def elsewhere() -> Iterator[int]:
    """A server of something else that answers a ping and keeps its client."""
    with socket.create_server((HOST, 0)) as server:
        thread = threading.Thread(target=_answer_all, args=[server], daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def _answer_all(server: socket.socket) -> None:
    with ExitStack() as accepted:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            accepted.enter_context(connection)
            connection.sendall(b"+PONG\r\n")


def test_who_is_connected_elsewhere_from_the_same_port_is_not_accused(lab: Lab) -> None:
    with ExitStack() as stack:
        past = stack.enter_context(redis_client(lab.redis_port))
        innocent = [
            stack.enter_context(
                redis_client(stack.enter_context(elsewhere()), local_port=past.port)
            )
            for _ in range(4)
        ]
        assert {client.port for client in innocent} == {past.port}
        found = redis_clients(server_of(lab), lab.proxied)
    assert [who.split(" (")[0] for who in found.who] == [f"1 x pid {past.pid}"]


@contextmanager
def connected_from(port: int, to: int) -> Iterator[None]:
    """Our connection to `to` from a local port that the system may give to others as well."""
    with socket.socket() as client:
        try:
            client.setsockopt(
                socket.IPPROTO_IP, _IP_LOCAL_PORT_RANGE, struct.pack("=HH", port, port)
            )
        except OSError:
            pytest.skip("this system chooses local ports by itself")
        client.connect((HOST, to))
        assert client.getsockname()[1] == port
        yield


def test_the_proxy_itself_is_not_accused_where_others_share_its_ports(lab: Lab) -> None:
    with ExitStack() as stack:
        stack.enter_context(redis_client(lab.proxy_port))
        [port] = [
            end.local.port
            for end in sockets.held()
            if end.remote is not None
            and end.remote.port == lab.redis_port
            and end.local.port != lab.redis_port
        ]
        for _ in range(3):
            stack.enter_context(connected_from(port, stack.enter_context(elsewhere())))
        found = redis_clients(server_of(lab), lab.proxied)
    assert (found.through, found.who) == (1, ())


def test_what_perfchaos_itself_has_open_is_nobodys_client(lab: Lab) -> None:
    with socket.create_connection((HOST, lab.redis_port)) as unnamed:
        unnamed.sendall(b"PING\r\n")
        unnamed.recv(100)
        found = redis_clients(server_of(lab), lab.proxied)
    assert (found.through, found.past) == (0, 0)


def test_a_client_through_another_proxy_of_the_same_server_is_past_this_one(lab: Lab) -> None:
    [port] = free_ports(1)
    proxy = {"name": "another", "listen": f"{HOST}:{port}", "enabled": True}
    with lab.server() as server:
        server.call("POST", "/proxies", {**proxy, "upstream": f"{HOST}:{lab.redis_port}"})
        try:
            with redis_client(port), redis_client(lab.proxy_port), redis_client(lab.proxy_port):
                found = redis_clients(server_of(lab), lab.proxied)
        finally:
            server.call("DELETE", "/proxies/another")
    assert (found.through, found.past) == (2, 1)
    assert "by the proxy 'another'" in found.who[0]


def test_a_redis_that_cannot_be_asked_says_so(lab: Lab) -> None:
    with lab.server() as server:
        server.set_enabled("redis", enabled=False)
    with pytest.raises(RedisUnavailable, match="through its proxy"):
        redis_clients(server_of(lab), lab.proxied)


@pytest.fixture
def before_postgres(lab: Lab, postgres: PostgresLab) -> Iterator[Proxied]:
    """A proxy before Postgres."""
    [port] = free_ports(1)
    upstream = f"{HOST}:{postgres.login.port}"
    proxy = {"name": "postgres", "listen": f"{HOST}:{port}", "upstream": upstream, "enabled": True}
    with lab.server() as server:
        server.call("POST", "/proxies", proxy)
        route = replace(lab.proxied.route, protocol="postgres", port=port)
        yield replace(lab.proxied, dependency="postgres", proxy="postgres", route=route)
        server.call("DELETE", "/proxies/postgres")


@contextmanager
def postgres_client(lab: PostgresLab, port: int) -> Iterator[Client]:
    login = lab.login
    conninfo = f"host={HOST} port={port} dbname={login.database} user={login.user}"
    with client_process(_AT_POSTGRES, conninfo, login.password or "") as client:
        yield client


def test_sessions_of_postgres_are_told_apart_too(
    postgres: PostgresLab, before_postgres: Proxied
) -> None:
    with postgres_client(postgres, before_postgres.route.port):
        found = postgres_clients(postgres.login, before_postgres)
        assert (found.through, found.past) == (1, 0)
        with postgres_client(postgres, postgres.login.port) as past:
            found = postgres_clients(postgres.login, before_postgres)
        assert (found.through, found.past) == (1, 1)
        assert found.who[0].startswith(f"1 x pid {past.pid} ")
