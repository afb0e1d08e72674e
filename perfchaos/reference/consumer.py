"""
Turning messages into their effects, once each, whatever tells of them and however often.

The claim is what makes it once: a message's row in the inbox is marked processed in the same
statement that writes its effect, and only if it was not marked before. A second claim, at the same
moment or a day later, finds nothing to do. So everything else may be careless: the stream may
deliver an entry again, a killed worker may have applied what it did not acknowledge, and the sweep
may overtake the stream.

What has an entry in the stream is done from the stream. What has none, because Redis was away,
refused it or forgot it, is found by the sweep: rows of the inbox that nobody has processed for a
moment.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from perfchaos.reference.database import Database, MaybeWritten, NotWritten
from perfchaos.reference.queue import GROUP, STREAM

_log = logging.getLogger(__name__)

BLOCK_S = 1.0
_RETRY_S = 0.2
_STALE_S = 10.0
_SWEEP_EVERY_S = 0.5
_SWEEP_MAX = 1000

type Entry = tuple[bytes, dict[bytes, bytes] | None]
type Sweep = Callable[[Database], Awaitable[int]]

_APPLY = """
    WITH claimed AS (
        UPDATE inbox SET processed_at = now()
        WHERE message_id = ANY(%s::uuid[]) AND processed_at IS NULL
        RETURNING message_id, sender, text
    )
    INSERT INTO order_effects (message_id, customer_id, text)
    SELECT claimed.message_id, customers.id, claimed.text
    FROM claimed LEFT JOIN customers ON customers.phone = claimed.sender
"""
_SWEEP = """
    WITH due AS (
        SELECT message_id FROM inbox
        WHERE processed_at IS NULL AND received_at < now() - interval '1 second'
        ORDER BY received_at LIMIT %s FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE inbox SET processed_at = now() FROM due
        WHERE inbox.message_id = due.message_id AND inbox.processed_at IS NULL
        RETURNING inbox.message_id, inbox.sender, inbox.text
    )
    INSERT INTO order_effects (message_id, customer_id, text)
    SELECT claimed.message_id, customers.id, claimed.text
    FROM claimed LEFT JOIN customers ON customers.phone = claimed.sender
"""


async def apply(database: Database, message_ids: Sequence[str]) -> None:
    """Apply those of `message_ids` that were not. Raises NotWritten and MaybeWritten."""
    async with database.connection() as connection:
        await connection.execute(_APPLY, (list(message_ids),))


async def sweep(database: Database) -> int:
    """Apply what waits in the inbox since a moment, the oldest first; how many were found."""
    async with database.connection() as connection:
        swept = await connection.execute(_SWEEP, (_SWEEP_MAX,))
        return swept.rowcount


async def sweep_for_ever(database: Database, sweep_once: Sweep = sweep) -> None:
    """The fallback queue in the database. Runs until cancelled."""
    while True:
        try:
            found = await sweep_once(database)
        except (NotWritten, MaybeWritten):
            found = 0
        if found < _SWEEP_MAX:
            await asyncio.sleep(_SWEEP_EVERY_S)


class Consumer:
    """
    One member of the consumer group.

    `name` outlives the process: a worker that is started again under its name first does what it
    had read and not acknowledged.
    """

    def __init__(self, database: Database, redis: Redis, *, name: str, batch_size: int) -> None:
        self._database = database
        self._redis = redis
        self._name = name
        self._batch_size = batch_size
        self._connected = True

    async def run(self) -> None:
        """Consume the stream, through every loss of Redis and of the group. Until cancelled."""
        await self._persist(self._consume)

    async def take_over(self) -> None:
        """Claim, from time to time, what other consumers read and left. Until cancelled."""
        await self._persist(self._claim_stale)

    async def _persist(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except (RedisError, OSError) as error:
                if self._connected:
                    _log.warning("%s: redis: %s", self._name, error or type(error).__name__)
                self._connected = False
                await asyncio.sleep(_RETRY_S)

    async def _consume(self) -> None:
        await self._create_group()
        unacknowledged = True
        while True:
            entries = await self._read("0" if unacknowledged else ">")
            if entries:
                await self._process(entries)
            else:
                unacknowledged = False

    async def _create_group(self) -> None:
        """A Redis that comes back empty has forgotten the group; from its first entry, then."""
        try:
            await self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def _read(self, position: str) -> list[Entry]:
        """Entries after `position`: this consumer's own again from "0", new ones from ">"."""
        answer: list[tuple[bytes, list[Entry]]] = await self._redis.xreadgroup(  # type: ignore[assignment]
            GROUP,
            self._name,
            {STREAM: position},
            count=self._batch_size,
            block=int(BLOCK_S * 1000),
        )
        if not self._connected:
            _log.warning("%s: redis: ok", self._name)
        self._connected = True
        return answer[0][1] if answer else []

    async def _claim_stale(self) -> None:
        while True:
            await asyncio.sleep(_STALE_S)
            _, entries, *_ = await self._redis.xautoclaim(
                STREAM, GROUP, self._name, int(_STALE_S * 1000), count=self._batch_size
            )
            if entries:
                await self._process(entries)

    async def _process(self, entries: Sequence[Entry]) -> None:
        """Apply, and only then acknowledge: entries are kept for as long as Postgres is away."""
        message_ids = [fields[b"id"].decode() for _, fields in entries if fields]
        while True:
            try:
                await apply(self._database, message_ids)
                break
            except (NotWritten, MaybeWritten):
                await asyncio.sleep(_RETRY_S)
        entry_ids = [entry_id for entry_id, _ in entries]
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.xack(STREAM, GROUP, *entry_ids)
            pipeline.xdel(STREAM, *entry_ids)
            await pipeline.execute()
