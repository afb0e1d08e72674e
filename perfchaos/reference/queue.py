"""
The Redis stream that carries work from the service to the workers, and the way around it.

The stream holds ids only: the messages themselves are in Postgres before they are published. So
Redis may lose all of it, and what it lost is picked up from the inbox (see `worker`); that is the
fallback queue in the database.
"""

import contextlib
from collections.abc import Iterable, Sequence

from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError  # noqa: A004 - redis-py's own name

from perfchaos.reference.breaker import CircuitBreaker
from perfchaos.reference.settings import RedisSettings

STREAM = "orders:queue"
GROUP = "workers"
_CONNECTIONS_MAX = 50
# A bound on Redis's memory when no worker runs. Ids cut off here are in the inbox all the same.
_LENGTH_MAX = 100_000


def connect(settings: RedisSettings, *, timeout_s: float | None) -> Redis:
    """
    A client that waits `timeout_s` for a connection and for an answer (for ever if None) and never
    retries by itself: a retry would multiply the time that a silent Redis costs.
    """
    return Redis.from_pool(
        BlockingConnectionPool(
            connection_class=_Connection,
            host=settings.host,
            port=settings.port,
            password=settings.password or None,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            max_connections=_CONNECTIONS_MAX,
            protocol=2,
            driver_info=None,
        )
    )


class _Connection(Connection):
    """One whose loss is told as such, also where uvloop noticed it before the client did."""

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:  # "unable to perform operation on <TCPTransport closed=True"
            raise ConnectionError(str(error)) from error


class WorkQueue:
    """Publishes ids, or leaves them to the fallback."""

    def __init__(self, redis: Redis, breaker: CircuitBreaker) -> None:
        self._redis = redis
        self._breaker = breaker

    async def publish(self, message_ids: Sequence[str]) -> bool:
        """
        Whether the workers were told of `message_ids`; if not, they will find them in the inbox.

        Also False when Redis did not answer in time and may have been told: being told twice
        does no harm.
        """
        if self._breaker.is_open:
            return False
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for message_id in message_ids:
                    pipeline.xadd(STREAM, {"id": message_id}, maxlen=_LENGTH_MAX)
                await pipeline.execute()
        except (RedisError, OSError):
            self._breaker.failed()
            return False
        self._breaker.succeeded()
        return True


async def close(redis: Redis) -> None:
    """Close the client's connections, whatever state they are in."""
    with contextlib.suppress(RedisError, OSError):
        await redis.aclose()
