"""Looked-up values, kept for a while. A cache that cannot be reached is a miss, not an error."""

import time

from redis.asyncio import Redis
from redis.exceptions import RedisError

from perfchaos.reference.breaker import CircuitBreaker
from perfchaos.reference.settings import CacheStrategy

_ENTRIES_MAX = 10_000


class Cache:
    """Bytes by key, forgotten after `ttl_s`: in this process, in Redis, or not at all."""

    def __init__(
        self, strategy: CacheStrategy, *, ttl_s: int, redis: Redis, breaker: CircuitBreaker
    ) -> None:
        self._strategy = strategy
        self._ttl_s = ttl_s
        self._redis = redis
        self._breaker = breaker
        self._memory: dict[str, tuple[float, bytes]] = {}

    async def get(self, key: str) -> bytes | None:
        match self._strategy:
            case CacheStrategy.NONE:
                return None
            case CacheStrategy.MEMORY:
                expires_at_s, value = self._memory.get(key, (0.0, b""))
                return value if time.monotonic() < expires_at_s else None
            case CacheStrategy.REDIS:
                return await self._in_redis("GET", f"cache:{key}")

    async def put(self, key: str, value: bytes) -> None:
        match self._strategy:
            case CacheStrategy.NONE:
                return
            case CacheStrategy.MEMORY:
                if len(self._memory) >= _ENTRIES_MAX:
                    self._memory.pop(next(iter(self._memory)))
                self._memory[key] = (time.monotonic() + self._ttl_s, value)
            case CacheStrategy.REDIS:
                await self._in_redis("SET", f"cache:{key}", value, "EX", self._ttl_s)

    async def _in_redis(self, *command: str | bytes | int) -> bytes | None:
        if self._breaker.is_open:
            return None
        try:
            answer: object = await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
        except (RedisError, OSError):
            self._breaker.failed()
            return None
        self._breaker.succeeded()
        return answer if isinstance(answer, bytes) else None
