"""Orders: created and routed to vendors in one step, and looked at."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from perfchaos.reference.cache import Cache
from perfchaos.reference.database import Database

_ROUTE = """
    WITH created AS (
        INSERT INTO orders (id) VALUES (%s) ON CONFLICT (id) DO NOTHING RETURNING id
    )
    INSERT INTO routings (order_id, vendor_id)
    SELECT created.id, vendor_id FROM created, unnest(%s::integer[]) vendor_id
"""


class NoSuchVendors(Exception):
    """An order was to be routed to vendors that do not exist, or are not active."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    order_id: str
    status: str
    accepted_by: int | None
    vendor_ids: tuple[int, ...]


class Orders:
    def __init__(self, database: Database, cache: Cache) -> None:
        self._database = database
        self._cache = cache

    async def create(self, order_id: str, vendor_ids: Sequence[int]) -> bool:
        """
        Whether a new order was created and routed to `vendor_ids`; False if it exists already.

        Raises NoSuchVendors, NotWritten and MaybeWritten.
        """
        if not set(vendor_ids) <= set(await self._active_vendor_ids()):
            raise NoSuchVendors
        async with self._database.connection() as connection:
            routed = await connection.execute(_ROUTE, (order_id, list(vendor_ids)))
        return routed.rowcount > 0

    async def find(self, order_id: str) -> Order | None:
        async with self._database.connection() as connection:
            found = await connection.execute(
                """
                SELECT status, accepted_by,
                       array(SELECT vendor_id FROM routings
                             WHERE order_id = orders.id ORDER BY vendor_id)
                FROM orders WHERE id = %s
                """,
                (order_id,),
            )
            row = await found.fetchone()
        if row is None:
            return None
        return Order(order_id=order_id, status=row[0], accepted_by=row[1], vendor_ids=tuple(row[2]))

    async def _active_vendor_ids(self) -> list[int]:
        if (cached := await self._cache.get("vendors")) is not None:
            ids: list[int] = orjson.loads(cached)
            return ids
        async with self._database.connection() as connection:
            found = await connection.execute("SELECT id FROM vendors WHERE active ORDER BY id")
            ids = [row[0] for row in await found.fetchall()]
        await self._cache.put("vendors", orjson.dumps(ids))
        return ids
