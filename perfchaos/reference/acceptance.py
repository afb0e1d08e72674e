"""
A vendor accepts an order, and only the first may.

Each strategy is sound by itself, but for the last, which is how it is usually written first:

unique_index     a partial unique index admits one accepted response an order; whoever loses learns
                 it from Postgres, in the same statement that would have won
for_update       the order's row is locked before it is read, so that contenders queue up
serializable     check, then act, in SERIALIZABLE transactions: Postgres refuses all but one of
                 those that overlapped; the others are done again and find the order taken
check_then_act   the same in READ COMMITTED: two that check at the same moment both act
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from perfchaos.reference.database import Connection, Database
from perfchaos.reference.settings import AcceptanceStrategy


class NotRouted(Exception):
    """There is no such order, or it was not routed to this vendor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """What became of one vendor's acceptance: `accepted_by` holds the order now."""

    order_id: str
    vendor_id: int
    accepted_by: int

    @property
    def won(self) -> bool:
        return self.accepted_by == self.vendor_id


type Accept = Callable[[Database, str, int], Awaitable[Acceptance]]

_ACCEPT_IF_FIRST = """
    WITH won AS (
        INSERT INTO vendor_responses (order_id, vendor_id, response)
        SELECT order_id, vendor_id, 'accepted' FROM routings
        WHERE order_id = %(order)s AND vendor_id = %(vendor)s
        ON CONFLICT (order_id) WHERE response = 'accepted' DO NOTHING
        RETURNING order_id, vendor_id
    ), assigned AS (
        INSERT INTO assignments (order_id, vendor_id) SELECT order_id, vendor_id FROM won
    )
    UPDATE orders SET status = 'accepted', accepted_by = won.vendor_id, accepted_at = now()
    FROM won WHERE orders.id = won.order_id
"""


async def accept_by_unique_index(database: Database, order_id: str, vendor_id: int) -> Acceptance:
    async with database.connection() as connection:
        won = await connection.execute(_ACCEPT_IF_FIRST, {"order": order_id, "vendor": vendor_id})
        if won.rowcount:
            return Acceptance(order_id=order_id, vendor_id=vendor_id, accepted_by=vendor_id)
        holder = await holder_of(connection, order_id, vendor_id)
    if holder is None:
        raise NotRouted
    return Acceptance(order_id=order_id, vendor_id=vendor_id, accepted_by=holder)


async def accept_under_row_lock(database: Database, order_id: str, vendor_id: int) -> Acceptance:
    async def work(connection: Connection) -> Acceptance:
        await connection.execute("SELECT FROM orders WHERE id = %s FOR UPDATE", (order_id,))
        return await check_then_act(connection, order_id, vendor_id)

    return await database.transaction(work)


async def accept_by_check_then_act(database: Database, order_id: str, vendor_id: int) -> Acceptance:
    return await database.transaction(
        lambda connection: check_then_act(connection, order_id, vendor_id)
    )


async def check_then_act(connection: Connection, order_id: str, vendor_id: int) -> Acceptance:
    """Accept the order unless somebody has: as safe as the transaction that it runs in."""
    holder = await holder_of(connection, order_id, vendor_id)
    if holder is None:
        await record_acceptance(connection, order_id, vendor_id)
        holder = vendor_id
    return Acceptance(order_id=order_id, vendor_id=vendor_id, accepted_by=holder)


async def holder_of(connection: Connection, order_id: str, vendor_id: int) -> int | None:
    """
    The vendor who holds the order; None if nobody does.

    Raises NotRouted if `vendor_id` may not accept it at all.
    """
    found = await connection.execute(
        """
        SELECT (SELECT vendor_id FROM vendor_responses
                WHERE order_id = routings.order_id AND response = 'accepted'
                ORDER BY responded_at LIMIT 1)
        FROM routings WHERE order_id = %s AND vendor_id = %s
        """,
        (order_id, vendor_id),
    )
    row = await found.fetchone()
    if row is None:
        raise NotRouted
    return row[0] if row[0] is None else int(row[0])


async def record_acceptance(connection: Connection, order_id: str, vendor_id: int) -> None:
    await connection.execute(
        "INSERT INTO vendor_responses (order_id, vendor_id, response) VALUES (%s, %s, 'accepted')",
        (order_id, vendor_id),
    )
    await connection.execute(
        "INSERT INTO assignments (order_id, vendor_id) VALUES (%s, %s)", (order_id, vendor_id)
    )
    await connection.execute(
        "UPDATE orders SET status = 'accepted', accepted_by = %s, accepted_at = now()"
        " WHERE id = %s",
        (vendor_id, order_id),
    )


STRATEGIES: Mapping[AcceptanceStrategy, Accept] = MappingProxyType(
    {
        AcceptanceStrategy.UNIQUE_INDEX: accept_by_unique_index,
        AcceptanceStrategy.FOR_UPDATE: accept_under_row_lock,
        # The settings give its transactions the isolation that makes it sound.
        AcceptanceStrategy.SERIALIZABLE: accept_by_check_then_act,
        AcceptanceStrategy.CHECK_THEN_ACT: accept_by_check_then_act,
    }
)
