"""A real Redis of a test's own."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from perfchaos.stack.redis_server import find_redis
from perfchaos.target import Queue, Redis
from tests.ports import free_ports

HOST = "127.0.0.1"


def free_port() -> int:
    """A free port, as is the one 10,000 above it, which a cluster's node takes for its bus."""
    while True:
        [port] = free_ports(1)
        with contextlib.suppress(OSError), socket.create_server((HOST, port + 10_000)):
            return port


@contextmanager
def redis_server(folder: Path, *options: str, port: int | None = None) -> Iterator[redis.Redis]:
    """A client of an empty server that keeps its files in `folder`; it ends with the context."""
    port = port or free_port()
    server = subprocess.Popen(
        [find_redis(), "--bind", HOST, "--port", str(port), "--dir", str(folder), *options],
        stdout=subprocess.DEVNULL,
    )
    client = redis.Redis(host=HOST, port=port, retry=Retry(NoBackoff(), 0))
    try:
        _await(client)
        yield client
    finally:
        client.close()
        server.kill()
        server.wait()


def as_target(client: redis.Redis, queue: Queue | None = None, *, tls: bool = False) -> Redis:
    """The server of `client` as a target file would name it."""
    return Redis(
        host=HOST,
        port=client.connection_pool.connection_kwargs["port"],
        database=0,
        username=None,
        password_env=None,
        tls=tls,
        proxy=None,
        control=None,
        queue=queue,
    )


def own_all_slots(client: redis.Redis) -> None:
    """Make a complete cluster of one node, of a server with `--cluster-enabled yes`."""
    client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)  # type: ignore[no-untyped-call]
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s:
        try:
            client.exists("anything")
        except redis.RedisError:  # It is not complete yet.
            time.sleep(0.01)
        else:
            return


def _await(client: redis.Redis) -> None:
    deadline_s = time.monotonic() + 10
    while True:
        try:
            client.ping()
        except redis.AuthenticationError:
            return  # It answers, and asks for a password.
        except redis.ConnectionError:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        else:
            return
