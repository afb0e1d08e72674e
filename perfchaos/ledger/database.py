"""Asks Postgres, around the proxy, which ids it holds and how often."""

import re
from binascii import unhexlify
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import psycopg

from perfchaos.errors import PerfchaosError
from perfchaos.ledger.reconciling import Held, Numbers
from perfchaos.recording.ids import first_and_last, prefix_of
from perfchaos.target import Target

type Connection = psycopg.Connection[tuple[Any, ...]]

CONNECT_TIMEOUT_S = 3
ANSWER_TIMEOUT_S = 30
ROWS_A_PAGE = 20_000
_SHOWN_CHARACTERS_MAX = 80

# Pages of text: a million rows fetched one by one would take many times as long. The line break is
# for a query that ends in a comment.
_PAGES = """
    SELECT string_agg(concat(id, ' ', held::bigint), E'\\n')
    FROM (
        SELECT id, held, (row_number() OVER () - 1) / {rows} AS page
        FROM ({query}
        ) AS ledger (id, held)
    ) AS numbered
    GROUP BY page
"""


def held_by_database(target: Target, seed: int) -> Held:
    """
    The requests of the run with this seed that the database holds, by the target's ledger query.

    Raises:
        PerfchaosError: the target file has no ledger, Postgres cannot be asked, or its answer is
            not rows of an id and a count.

    """
    prefix = prefix_of(seed).encode()
    ours = re.compile(rb"(?m)^" + prefix + rb"([0-9a-f]{12}) (.*)$")
    others = re.compile(rb"(?m)^(?!" + prefix + rb"[0-9a-f]{12} )(.*) .*$")
    numbers, counts = [_numbers([])], [_numbers([])]
    stranger = None
    for page in _pages(target, seed):
        found = ours.findall(page)
        if stranger is None and (other := others.search(page)):
            stranger = other[1][:_SHOWN_CHARACTERS_MAX].decode(errors="replace")
        if any(not count for _, count in found):
            raise PerfchaosError(
                "the ledger query gives an id that is held NULL times",
                next_step="let its second column be how many times the id is held",
            )
        numbers.append(_numbers([digits for digits, _ in found]))
        counts.append(np.array([count for _, count in found], dtype="S20").astype(np.int64))
    held, index = np.unique(np.concatenate(numbers), return_inverse=True)
    # A query that does not group gives the same id in several rows: each is one effect.
    totals = np.bincount(index, weights=np.concatenate(counts), minlength=len(held))
    return Held(numbers=held, counts=totals.astype(np.int64), stranger=stranger)


def _numbers(digits: list[bytes]) -> Numbers:
    """Numbers of 48 bits from 12 hexadecimal digits each."""
    octets = np.frombuffer(unhexlify(b"".join(digits)), dtype=np.uint8).reshape(-1, 6)
    return octets.astype(np.int64) @ (1 << np.arange(40, -1, -8, dtype=np.int64))


def _pages(target: Target, seed: int) -> Iterator[bytes]:
    """The rows of the ledger query as lines of an id in lower case and a count."""
    if target.postgres is None or target.ledger_query is None:
        raise PerfchaosError(
            f"target file {target.path} has no ledger",
            next_step="add the sections 'postgres' and 'ledger', or drop the ledger's probes",
        )
    first, last = first_and_last(seed)
    query = _PAGES.format(query=target.ledger_query.rstrip().rstrip(";"), rows=ROWS_A_PAGE)
    with (
        asked_by(
            target,
            "ledger",
            "; the query is to SELECT two columns, the id and how many times it is held",
        ) as connection,
        connection.cursor(name="perfchaos_ledger") as cursor,
    ):
        cursor.itersize = 1
        cursor.execute(query.encode(), {"first": first, "last": last})
        for (page,) in cursor:
            yield page.lower().encode()


@contextmanager
def asked_by(target: Target, section: str, hint: str = "") -> Iterator[Connection]:
    """
    A session of the target's Postgres for what `section` of its file asks.

    Raises:
        PerfchaosError: there is no Postgres, or it does not answer the question.

    """
    postgres = target.postgres
    if postgres is None:
        raise PerfchaosError(
            f"target file {target.path} has no section 'postgres'", next_step="add it"
        )
    try:
        with psycopg.connect(
            host=postgres.host,
            hostaddr="",  # Whatever PGHOSTADDR says.
            port=postgres.port,
            dbname=postgres.database,
            user=postgres.user,
            password=postgres.password,
            sslmode=postgres.sslmode,
            connect_timeout=CONNECT_TIMEOUT_S,
            options=f"-c statement_timeout={ANSWER_TIMEOUT_S * 1000}",
            application_name="perfchaos ledger",
        ) as connection:
            yield connection
    except psycopg.Error as error:
        said = (error.diag.message_primary or str(error)).strip().splitlines()[0]
        raise PerfchaosError(
            f"postgres at {postgres.host}:{postgres.port} cannot be asked for the {section} "
            f"({said})",
            next_step=f"check the sections 'postgres' and 'ledger' of the target file{hint}",
        ) from None
