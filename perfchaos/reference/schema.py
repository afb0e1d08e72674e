"""
Creates the tables, seeds them, and gives them the indexes that the settings ask for. Idempotent.

The customers are many enough that looking one up without an index costs a millisecond's work and
more: what `DATABASE_INDEXES=false` leaves to be paid in every request.
"""

import logging
import os
import sys
from importlib.resources import files

import psycopg

from perfchaos.errors import PerfchaosError
from perfchaos.reference import defects
from perfchaos.reference.settings import AcceptanceStrategy, Settings, read_settings

CUSTOMER_COUNT = 250_000
VENDOR_COUNT = 1_000

_SEED_CUSTOMERS = """
    INSERT INTO customers (id, phone, name)
    SELECT n, '+49170' || n, 'Customer ' || n FROM generate_series(1, %s) n
    WHERE NOT EXISTS (SELECT FROM customers)
"""
_SEED_VENDORS = """
    INSERT INTO vendors (id, name) SELECT n, 'Vendor ' || n FROM generate_series(1, %s) n
    WHERE NOT EXISTS (SELECT FROM vendors)
"""
# A number that means this schema among the advisory locks of the database.
_LOCK = 7_201_944


def apply_schema(settings: Settings) -> None:
    """Bring the database to what `settings` need. Raises PerfchaosError if it cannot be reached."""
    postgres = settings.postgres
    try:
        with psycopg.connect(
            host=postgres.host,
            port=postgres.port,
            dbname=postgres.database,
            user=postgres.user,
            password=postgres.password or None,
            connect_timeout=10,
        ) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            connection.execute(files(__package__).joinpath("schema.sql").read_bytes())
            connection.execute(_SEED_CUSTOMERS, (CUSTOMER_COUNT,))
            connection.execute(_SEED_VENDORS, (VENDOR_COUNT,))
            for statement in _index_statements(settings):
                connection.execute(statement.encode())
            connection.execute("ANALYZE customers, vendors")
    except psycopg.OperationalError as error:
        place = f"{postgres.host}:{postgres.port}/{postgres.database}"
        raise PerfchaosError(
            f"the schema was not applied to Postgres at {place} ({str(error).strip()})",
            next_step="start Postgres, check PGHOST, PGPORT, PGDATABASE, PGUSER and PGPASSWORD",
        ) from error


def _index_statements(settings: Settings) -> list[str]:
    """Indexes that come and go with the tunings. Each is dropped when it is not asked for."""
    statements = ["DROP INDEX IF EXISTS customers_by_phone"]
    if settings.postgres.indexes:
        statements = ["CREATE UNIQUE INDEX IF NOT EXISTS customers_by_phone ON customers (phone)"]
    planted = defects.acceptance_index(settings.defects)
    if planted is not None:
        return [*statements, "DROP INDEX IF EXISTS one_acceptance_an_order", *planted]
    statements += defects.DROP_INDEXES
    if settings.acceptance is not AcceptanceStrategy.UNIQUE_INDEX:
        return [*statements, "DROP INDEX IF EXISTS one_acceptance_an_order"]
    return [
        *statements,
        # The index cannot be had over orders that were won twice while it was missing: the
        # first acceptance stands.
        """
        UPDATE vendor_responses later SET response = 'withdrawn'
        WHERE response = 'accepted' AND to_regclass('one_acceptance_an_order') IS NULL
          AND EXISTS (SELECT FROM vendor_responses first
                      WHERE first.order_id = later.order_id AND first.response = 'accepted'
                        AND (first.responded_at, first.ctid) < (later.responded_at, later.ctid))
        """,
        # A UNIQUE constraint cannot carry a WHERE in PostgreSQL; a unique index can.
        """
        CREATE UNIQUE INDEX IF NOT EXISTS one_acceptance_an_order
        ON vendor_responses (order_id) WHERE response = 'accepted'
        """,
    ]


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        apply_schema(read_settings(os.environ))
    except PerfchaosError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
