"""
Deliberate defects, planted by name with `DEFECTS=name,name` and all off by default.

Each is a mistake that real systems have been shipped with, and each is here so that a test of the
order service can be seen to fail. The sound modules know of them only where the processes are put
together: they ask this module for a part, and get the sound one unless its defect is planted.

Redis
    no_fallback                     a message is refused when Redis does not take its id
    fallback_acks_before_storing    when Redis is away, messages are acknowledged from memory, and
                                    the memory keeps the last hundred
    fallback_replays_twice          the sweep applies what it finds before it claims it
    worker_stalls_after_reconnect   once Redis was away, the worker reads its own history for ever
    redis_without_timeout           a silent Redis is waited for
    breaker_never_closes            the breaker's trial never passes
Postgres
    ack_before_commit               the reply does not wait for the inbox
    synchronous_commit_off          no commit waits for the disk, the service's nor the worker's
    pool_keeps_dead_connections     connections go round and round, broken or not
    cold_pool                       the first query of a connection is long, and the pool is warmed
                                    up when the service starts and never again
    healthy_while_writes_fail       health is what the process thinks of itself
Race
    race_no_lock                    whoever accepts has accepted
    race_check_then_act             the order is looked at, then taken, in READ COMMITTED
    race_lock_released_before_commit
    race_redis_lock_expires         a lock that lives for less than the work it protects
    race_index_on_wrong_column      one acceptance a vendor *and* order
    race_idempotent_by_vendor       a vendor's first answer is repeated for its other orders
"""

import asyncio
import dataclasses
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypedDict
from weakref import WeakSet

from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis

from perfchaos.reference import consumer
from perfchaos.reference.acceptance import (
    Accept,
    Acceptance,
    accept_by_check_then_act,
    accept_under_row_lock,
    check_then_act,
    holder_of,
    record_acceptance,
)
from perfchaos.reference.consumer import Consumer, Sweep
from perfchaos.reference.database import Connection, Database, MaybeWritten, NotWritten
from perfchaos.reference.health import Health
from perfchaos.reference.intake import BatchedIntake, Intake, Message, StoreThenPublish, store
from perfchaos.reference.queue import WorkQueue
from perfchaos.reference.settings import Defect, Settings

type Defects = frozenset[Defect]
type Keep = Callable[[Sequence[Message]], Awaitable[None]]


def altered(settings: Settings) -> Settings:
    """`settings` with the values that a planted defect is made of."""
    postgres, redis = settings.postgres, settings.redis
    if Defect.REDIS_WITHOUT_TIMEOUT in settings.defects:
        redis = dataclasses.replace(redis, timeout_s=None)
    if Defect.POOL_KEEPS_DEAD_CONNECTIONS in settings.defects:
        postgres = dataclasses.replace(postgres, pool_check=False)
    if Defect.COLD_POOL in settings.defects:
        postgres = dataclasses.replace(postgres, pool_warm_up=False, pool_size=6, pool_max=6)
    return dataclasses.replace(settings, postgres=postgres, redis=redis)


# --- Redis ---


def keep(planted: Defects, database: Database, queue: WorkQueue) -> Keep:
    if Defect.NO_FALLBACK in planted:
        return PublishOrRefuse(database, queue)
    if Defect.FALLBACK_ACKS_BEFORE_STORING in planted:
        return AcknowledgeFromMemory(database, queue)
    return StoreThenPublish(database, queue)


class PublishOrRefuse:
    """Without a fallback: what Redis does not take is refused."""

    def __init__(self, database: Database, queue: WorkQueue) -> None:
        self._database = database
        self._queue = queue

    async def __call__(self, messages: Sequence[Message]) -> None:
        if not await self._queue.publish([message.message_id for message in messages]):
            raise NotWritten("the queue is not available")
        await store(self._database, messages)


class AcknowledgeFromMemory:
    """A fallback that answers first and stores when Redis is back: what it still remembers."""

    def __init__(self, database: Database, queue: WorkQueue) -> None:
        self._database = database
        self._queue = queue
        self._remembered: deque[Message] = deque(maxlen=100)

    async def __call__(self, messages: Sequence[Message]) -> None:
        if not await self._queue.publish([message.message_id for message in messages]):
            self._remembered.extend(messages)
            return
        remembered = [self._remembered.popleft() for _ in range(len(self._remembered))]
        await store(self._database, [*messages, *remembered])


def sweep(planted: Defects) -> Sweep:
    return replay_twice if Defect.FALLBACK_REPLAYS_TWICE in planted else consumer.sweep


async def replay_twice(database: Database) -> int:
    """Apply what is due without claiming it, then sweep: the effect is written by both."""
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO order_effects (message_id, text)"
            " SELECT message_id, text FROM inbox"
            " WHERE processed_at IS NULL AND received_at < now() - interval '1 second'"
        )
    return await consumer.sweep(database)


def consumer_class(planted: Defects) -> type[Consumer]:
    return StallingConsumer if Defect.WORKER_STALLS_AFTER_RECONNECT in planted else Consumer


class StallingConsumer(Consumer):
    """After the first loss of Redis it asks for its own pending entries, and there are none."""

    _lost = False

    async def _consume(self) -> None:
        if not self._lost:
            self._lost = True
            await super()._consume()
        await self._create_group()
        while True:
            await self._read("0")
            await asyncio.sleep(consumer.BLOCK_S)


def breaker_trial(planted: Defects, redis: Redis) -> Callable[[], Awaitable[object]]:
    return _never_passes if Defect.BREAKER_NEVER_CLOSES in planted else redis.ping


async def _never_passes() -> None:
    raise ConnectionError("the trial asks a Redis that was taken out of service")


# --- Postgres ---


_LONG_FIRST_QUERY = "SELECT count(DISTINCT md5(name || n)) FROM customers, generate_series(1, 3) n"


class DatabaseOptions(TypedDict, total=False):
    synchronous_commit: str
    pool_class: type[AsyncConnectionPool[Connection]]


def synchronous_commit(planted: Defects) -> str:
    return "off" if Defect.SYNCHRONOUS_COMMIT_OFF in planted else "on"


def database_options(planted: Defects) -> DatabaseOptions:
    options: DatabaseOptions = {"synchronous_commit": synchronous_commit(planted)}
    if Defect.COLD_POOL in planted:
        options["pool_class"] = ColdPool
    if Defect.POOL_KEEPS_DEAD_CONNECTIONS in planted:
        options["pool_class"] = KeepingPool
    return options


class KeepingPool(AsyncConnectionPool[Connection]):
    """Hands connections out in turn and takes all of them back."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept: deque[Connection] = deque()

    async def getconn(self, timeout: float | None = None) -> Connection:  # noqa: ASYNC109
        return self._kept.popleft() if self._kept else await super().getconn(timeout)

    async def putconn(self, conn: Connection) -> None:
        self._kept.append(conn)


class ColdPool(AsyncConnectionPool[Connection]):
    """Works long on the first query of a connection; only the first few had that done for them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._warm: WeakSet[Connection] = WeakSet()
        self._starting: asyncio.Task[None] | None = None

    async def open(self, wait: bool = False, timeout: float = 30.0) -> None:  # noqa: ASYNC109
        await super().open(wait, timeout)
        # Asked for at once, before anybody else can ask.
        connections = [asyncio.create_task(self.getconn()) for _ in range(self.min_size)]
        self._starting = asyncio.create_task(self._return_all(connections))

    async def getconn(self, timeout: float | None = None) -> Connection:  # noqa: ASYNC109
        connection = await super().getconn(timeout)
        await self._first_query(connection)
        return connection

    async def _return_all(self, connections: Sequence[asyncio.Task[Connection]]) -> None:
        for connection in await asyncio.gather(*connections, return_exceptions=True):
            if not isinstance(connection, BaseException):
                await self.putconn(connection)

    async def _first_query(self, connection: Connection) -> None:
        if connection not in self._warm:
            await connection.execute(_LONG_FIRST_QUERY)
            self._warm.add(connection)


def intake(planted: Defects, sound: BatchedIntake) -> Intake:
    return AcknowledgeFirst(sound) if Defect.ACK_BEFORE_COMMIT in planted else sound


class AcknowledgeFirst:
    """Returns from `take` at once and stores in the background, come what may."""

    def __init__(self, sound: BatchedIntake) -> None:
        self._sound = sound
        self._storing: set[asyncio.Task[None]] = set()

    async def take(self, message: Message) -> None:
        task = asyncio.create_task(self._store(message))
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def run(self) -> None:
        await self._sound.run()

    async def _store(self, message: Message) -> None:
        try:
            await self._sound.take(message)
        except (NotWritten, MaybeWritten):
            return  # nobody is waiting for the answer any more


def health_class(planted: Defects) -> type[Health]:
    return SelfAssured if Defect.HEALTHY_WHILE_WRITES_FAIL in planted else Health


class SelfAssured(Health):
    """Finds itself well because it is running."""

    @property
    def database_problem(self) -> str | None:
        return None


# --- Race ---

_INDEX_ON_WRONG_COLUMN = """
    CREATE UNIQUE INDEX IF NOT EXISTS one_acceptance_a_vendor_and_order
    ON vendor_responses (vendor_id, order_id) WHERE response = 'accepted'
"""
DROP_INDEXES = ("DROP INDEX IF EXISTS one_acceptance_a_vendor_and_order",)


def acceptance_index(planted: Defects) -> Sequence[str] | None:
    """The index that a planted acceptance has instead of the sound one; None if none is planted."""
    if Defect.RACE_INDEX_ON_WRONG_COLUMN in planted:
        return [_INDEX_ON_WRONG_COLUMN]
    return DROP_INDEXES if any(defect.startswith("race_") for defect in planted) else None


def accept(planted: Defects, sound: Accept, redis: Redis) -> Accept:
    acceptances: dict[Defect, Accept] = {
        Defect.RACE_NO_LOCK: _accept_without_looking,
        Defect.RACE_CHECK_THEN_ACT: accept_by_check_then_act,
        Defect.RACE_LOCK_RELEASED_BEFORE_COMMIT: _accept_and_unlock_before_commit,
        Defect.RACE_REDIS_LOCK_EXPIRES: ExpiringLock(redis),
        Defect.RACE_INDEX_ON_WRONG_COLUMN: _accept_once_a_vendor,
        Defect.RACE_IDEMPOTENT_BY_VENDOR: IdempotentByVendor(accept_under_row_lock),
    }
    return next((acceptances[defect] for defect in planted if defect in acceptances), sound)


async def _accept_without_looking(database: Database, order_id: str, vendor_id: int) -> Acceptance:
    async def work(connection: Connection) -> Acceptance:
        await holder_of(connection, order_id, vendor_id)
        await record_acceptance(connection, order_id, vendor_id)
        return Acceptance(order_id=order_id, vendor_id=vendor_id, accepted_by=vendor_id)

    return await database.transaction(work)


async def _accept_and_unlock_before_commit(
    database: Database, order_id: str, vendor_id: int
) -> Acceptance:
    async def work(connection: Connection) -> Acceptance:
        await connection.execute("SELECT pg_advisory_lock(hashtext(%s))", (order_id,))
        try:
            return await check_then_act(connection, order_id, vendor_id)
        finally:
            await connection.execute("SELECT pg_advisory_unlock(hashtext(%s))", (order_id,))

    return await database.transaction(work)


class ExpiringLock:
    """A lock in Redis, taken for two milliseconds."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def __call__(self, database: Database, order_id: str, vendor_id: int) -> Acceptance:
        key, token = f"lock:{order_id}", secrets.token_bytes(8)
        while not await self._redis.set(key, token, nx=True, px=2):
            pass
        try:
            return await accept_by_check_then_act(database, order_id, vendor_id)
        finally:
            if await self._redis.get(key) == token:
                await self._redis.delete(key)


async def _accept_once_a_vendor(database: Database, order_id: str, vendor_id: int) -> Acceptance:
    async def work(connection: Connection) -> Acceptance:
        await holder_of(connection, order_id, vendor_id)
        accepted = await connection.execute(
            "INSERT INTO vendor_responses (order_id, vendor_id, response)"
            " VALUES (%s, %s, 'accepted')"
            " ON CONFLICT (vendor_id, order_id) WHERE response = 'accepted' DO NOTHING",
            (order_id, vendor_id),
        )
        if accepted.rowcount:
            await connection.execute(
                "INSERT INTO assignments (order_id, vendor_id) VALUES (%s, %s)",
                (order_id, vendor_id),
            )
            await connection.execute(
                "UPDATE orders SET status = 'accepted', accepted_by = %s, accepted_at = now()"
                " WHERE id = %s",
                (vendor_id, order_id),
            )
        return Acceptance(order_id=order_id, vendor_id=vendor_id, accepted_by=vendor_id)

    return await database.transaction(work)


class IdempotentByVendor:
    """Remembers by vendor whether it won, and answers so for its next order too."""

    def __init__(self, sound: Accept) -> None:
        self._sound = sound
        self._remembered: dict[int, bool] = {}

    async def __call__(self, database: Database, order_id: str, vendor_id: int) -> Acceptance:
        if vendor_id not in self._remembered:
            answer = await self._sound(database, order_id, vendor_id)
            self._remembered[vendor_id] = answer.won
            return answer
        won = self._remembered[vendor_id]
        return Acceptance(
            order_id=order_id, vendor_id=vendor_id, accepted_by=vendor_id if won else 0
        )
