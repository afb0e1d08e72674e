"""
Whether the service can do what it is for.

Healthy is: the health query was answered *and* a write was committed, within the time allowed. A
database that answers reads may refuse every write. While the service is not healthy it refuses
work instead of letting it wait, and it takes work again as soon as a check passes: the interval of
the checks is therefore part of every recovery.
"""

import asyncio
import logging

import psycopg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from perfchaos.reference.database import Database, MaybeWritten, NotWritten
from perfchaos.reference.settings import HealthSettings

_log = logging.getLogger(__name__)

_FAILURES_MAX = 3
_BEAT = """
    INSERT INTO heartbeats (name, beat_at) VALUES ('service', now())
    ON CONFLICT (name) DO UPDATE SET beat_at = excluded.beat_at
"""


class Health:
    """
    Checks the database in the background, and Redis too where the service cannot do without.

    Between two checks, a few failed calls to the database in a row count as a failed check. A
    service that was found unwell must pass several checks in a row, as many as the settings say:
    a call that was let in before and succeeds late does not make it well.
    """

    def __init__(
        self, database: Database, settings: HealthSettings, *, needed_redis: Redis | None
    ) -> None:
        self._database = database
        self._settings = settings
        self._needed_redis = needed_redis
        self._database_problem: str | None = "not checked yet"
        self._redis_problem: str | None = None
        self._passes_missing = 1
        self.checked = asyncio.Event()  # once at least

    @property
    def database_problem(self) -> str | None:
        """What is wrong with the database, in a few words; None if nothing is."""
        failures = self._database.failures_in_row_max
        if self._database_problem is None and failures >= _FAILURES_MAX:
            return f"{failures} failures in a row"
        return self._database_problem

    @property
    def redis_problem(self) -> str | None:
        """What is wrong with a Redis that is needed; None if nothing is, or none is needed."""
        return self._redis_problem

    def require(self) -> None:
        """Raise NotWritten unless the service is well."""
        if problem := self.database_problem or self.redis_problem:
            raise NotWritten(problem, sqlstate=self._database.sqlstate)

    async def watch(self) -> None:
        """Check for ever, every interval. Runs until cancelled."""
        while True:
            await self.check()
            self.checked.set()
            await asyncio.sleep(self._settings.interval_s)

    async def check(self) -> None:
        """Find out what is wrong now, and remember it."""
        before = self.database_problem, self.redis_problem
        if before != (None, None) and self._passes_missing == 0:
            self._passes_missing = self._settings.passes
        database, redis = await self._check_database(), await self._check_redis()
        if database or redis:
            self._passes_missing = self._settings.passes
        else:
            self._passes_missing = max(self._passes_missing - 1, 0)
            if self._passes_missing:
                database = f"{self._passes_missing} more checks must pass"
            else:
                self._database.forget_failures()
        self._database_problem, self._redis_problem = database, redis
        for name, was, now in (("database", before[0], database), ("redis", before[1], redis)):
            if (was is None) is not (now is None):
                _log.warning("%s: %s", name, now or "ok")

    async def _check_database(self) -> str | None:
        """What is wrong; a database that comes back is warmed up before it counts as well."""
        try:
            async with self._database.connection(timeout_s=self._settings.timeout_s) as connection:
                await connection.execute(self._settings.query.encode())
                await connection.execute(_BEAT)
            if self.database_problem is not None:
                await self._database.warm_up()
        except (NotWritten, MaybeWritten, psycopg.Error) as error:
            return " ".join(str(error).split())
        return None

    async def _check_redis(self) -> str | None:
        if self._needed_redis is None:
            return None
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                await self._needed_redis.ping()
        except (RedisError, OSError, TimeoutError) as error:
            return " ".join(str(error).split()) or "no answer"
        return None
