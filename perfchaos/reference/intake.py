"""
Taking a webhook: when `take` returns, the message is safe; that is when the service says 202.

Safe means committed to the inbox in Postgres, with a commit that waited for the disk. Redis is told
afterwards and only carries the id, so an acknowledged message survives

- a silent, refusing or restarted Redis, empty or not: the workers sweep the inbox for what they
  were not told of;
- the death of this process, at any moment: what was acknowledged is in the inbox, and what was
  not was never promised;
- a restart or crash of Postgres: the commit is in the write-ahead log.

A commit for each message would make the disk the limit. So a few writers take whatever has
arrived meanwhile, up to a batch, and commit it in one statement: alone, a message waits for
nobody; under load, the commits are shared.

A message is known by its id. Sent again, it finds its row in the inbox and changes nothing, and it
is acknowledged because that row is committed.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from perfchaos.reference.cache import Cache
from perfchaos.reference.database import Connection, Database, MaybeWritten, NotWritten
from perfchaos.reference.queue import WorkQueue

_STORE = """
    INSERT INTO inbox (message_id, sender, text)
    SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[])
    ON CONFLICT (message_id) DO NOTHING
"""
_SEEN_FOR_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A webhook's message. `message_id` is a UUID in its canonical, lower-case form."""

    message_id: str
    sender: str
    text: str


class Intake(Protocol):
    async def take(self, message: Message) -> None:
        """Return when `message` is safe; raise NotWritten or MaybeWritten when it is not."""

    async def run(self) -> None:
        """Do what is to be done in the background. Runs until cancelled."""


async def store(database: Database, messages: Sequence[Message]) -> None:
    """Commit `messages` to the inbox, in the order of their ids: two writers cannot deadlock."""
    ordered = sorted(messages, key=lambda message: message.message_id)
    async with database.connection() as connection:
        await connection.execute(
            _STORE,
            (
                [message.message_id for message in ordered],
                [message.sender for message in ordered],
                [message.text for message in ordered],
            ),
        )


class StoreThenPublish:
    """Makes a batch safe, then tells the workers. Called by the writers of `BatchedIntake`."""

    def __init__(self, database: Database, queue: WorkQueue) -> None:
        self._database = database
        self._queue = queue

    async def __call__(self, messages: Sequence[Message]) -> None:
        await store(self._database, messages)
        await self._queue.publish([message.message_id for message in messages])


class BatchedIntake:
    """
    Gathers messages into batches and has `keep` make each batch safe.

    `writers` batches of up to `batch_size` are under way at a time, and at most `waiting_max`
    messages wait for one; more are refused, so that the wait stays bounded. When a batch cannot be
    kept, those that wait behind it are refused too: while that is certain, and before their senders
    give up and cannot tell.
    """

    def __init__(
        self,
        keep: Callable[[Sequence[Message]], Awaitable[None]],
        *,
        batch_size: int,
        writers: int,
        waiting_max: int,
    ) -> None:
        self._keep = keep
        self._batch_size = batch_size
        self._writers = writers
        self._waiting_max = waiting_max
        self._waiting: deque[tuple[Message, asyncio.Future[None]]] = deque()
        self._arrived = asyncio.Event()

    async def take(self, message: Message) -> None:
        if len(self._waiting) >= self._waiting_max:
            raise NotWritten(f"{self._waiting_max} messages are waiting already")
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((message, kept))
        self._arrived.set()
        await kept

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._writers):
                group.create_task(self._write())

    async def _write(self) -> None:
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            size = min(self._batch_size, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(size)]
            try:
                await self._keep([message for message, _ in batch])
            except Exception as error:  # noqa: BLE001 - it belongs to those who wait, not here
                _settle(batch, error)
                _settle(self._waiting, NotWritten("the messages before could not be kept"))
                self._waiting.clear()
            else:
                _settle(batch, None)


def _settle(
    messages: Iterable[tuple[Message, asyncio.Future[None]]], error: Exception | None
) -> None:
    for _, kept in messages:
        if kept.done():
            continue  # its request was cancelled
        if error is None:
            kept.set_result(None)
        else:
            kept.set_exception(error)


class InlineIntake:
    """
    Does all the work inside the request: without the webhook queue.

    Redis is asked first whether the message has been seen. If it cannot be asked, the message is
    refused; if it cannot be told afterwards, the outcome is for the sender to find out.
    """

    def __init__(self, database: Database, redis: Redis, cache: Cache) -> None:
        self._database = database
        self._redis = redis
        self._cache = cache

    async def take(self, message: Message) -> None:
        seen_key = f"seen:{message.message_id}"
        try:
            if await self._redis.get(seen_key) is not None:
                return
        except (RedisError, OSError) as error:
            raise NotWritten("Redis could not be asked for the message") from error
        await self._database.transaction(lambda connection: self._apply(connection, message))
        try:
            await self._redis.set(seen_key, b"1", ex=_SEEN_FOR_S)
        except (RedisError, OSError) as error:
            raise MaybeWritten("Redis could not be told of the message") from error

    async def run(self) -> None:
        """There is nothing to do in the background."""

    async def _apply(self, connection: Connection, message: Message) -> None:
        customer_id = await self._customer_id(connection, message.sender)
        inserted = await connection.execute(
            "INSERT INTO inbox (message_id, sender, text, processed_at)"
            " VALUES (%s, %s, %s, now()) ON CONFLICT (message_id) DO NOTHING",
            (message.message_id, message.sender, message.text),
        )
        if inserted.rowcount:
            await connection.execute(
                "INSERT INTO order_effects (message_id, customer_id, text) VALUES (%s, %s, %s)",
                (message.message_id, customer_id, message.text),
            )

    async def _customer_id(self, connection: Connection, phone: str) -> int | None:
        if (cached := await self._cache.get(f"customer:{phone}")) is not None:
            return int(cached)
        found = await connection.execute("SELECT id FROM customers WHERE phone = %s", (phone,))
        row = await found.fetchone()
        if row is None:
            return None
        customer_id = int(row[0])
        await self._cache.put(f"customer:{phone}", b"%d" % customer_id)
        return customer_id
