"""The target's Redis, asked at its own address, around any proxy; never retried, never for long."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.retry import Retry

from perfchaos.errors import PerfchaosError
from perfchaos.target import Redis

TIMEOUT_S = 2.0

CLIENT_NAME = "perfchaos"
"""What all our clients call themselves, so that they are told from the target's own."""


class RedisUnavailable(PerfchaosError):
    """The target's Redis could not be asked."""


def connect(server: Redis) -> redis.Redis:
    """A client of `server`; it connects on first use and again whenever it was cut off."""
    return redis.Redis(
        host=server.host,
        port=server.port,
        db=server.database,
        username=server.username,
        password=server.password,
        ssl=server.tls,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), retries=0),
        client_name=CLIENT_NAME,
    )


@contextmanager
def asking(server: Redis, about: str) -> Iterator[None]:
    """
    Within this, what goes wrong with `server` is an error of ours that names the next step.

    Raises:
        RedisUnavailable: it cannot be reached, or does not answer the question.

    """
    try:
        yield
    except RedisError as error:
        raise RedisUnavailable(
            f"redis at {server.host}:{server.port} cannot be asked about {about} ({error})",
            next_step=_next_step(server, error),
        ) from None


@contextmanager
def connected(server: Redis, about: str) -> Iterator[redis.Redis]:
    """
    A client of `server` for one purpose, closed afterwards.

    Raises:
        RedisUnavailable: it cannot be reached, or does not answer the question.

    """
    client = connect(server)
    try:
        with asking(server, about):
            yield client
    finally:
        client.close()


def announced_nodes(server: Redis) -> tuple[tuple[str, int], ...]:
    """
    The addresses a cluster sends its clients to, in order; none where the server is no cluster.

    Raises:
        RedisUnavailable: it cannot be asked.

    """
    with connected(server, "its cluster") as client:
        if not client.info("cluster").get("cluster_enabled"):
            return ()
        ranges: Any = client.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
    # A range of slots is [first, last, node, node, ...], a node [host, port, ...].
    nodes = {tuple(node[:2]) for found in ranges for node in found[2:]}
    # A node that announces no host means the one it was asked at.
    return tuple(sorted((_text(host) or server.host, int(port)) for host, port in nodes))


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


def _next_step(server: Redis, error: RedisError) -> str:
    if isinstance(error, AuthenticationError) or str(error).startswith(("NOAUTH", "WRONGPASS")):
        return "check redis.username and redis.password_env of the target file"
    if isinstance(error, NoPermissionError):
        return "let the user of the target file read the queue's key and INFO"
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        tls = (
            "set redis.tls: false if it speaks no TLS" if server.tls else "redis.tls: true for TLS"
        )
        return f"see that it is up, and check redis.host and redis.port ({tls})"
    return "check the section 'redis' of the target file"
