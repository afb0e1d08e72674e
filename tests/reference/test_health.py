"""What makes the service well and unwell, on a database that does as it is told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import cast

import pytest

from perfchaos.reference.database import Database, NotWritten
from perfchaos.reference.health import Health
from perfchaos.reference.settings import HealthSettings


class Scripted:
    """A database of which every call fails while it is `away`; it counts as the real one does."""

    def __init__(self) -> None:
        self.away = False
        self.failures_in_row_max = 0
        self.sqlstate: str | None = None

    @contextlib.asynccontextmanager
    async def connection(self, *, timeout_s: float | None = None) -> AsyncIterator["Scripted"]:
        if self.away:
            raise NotWritten("away", sqlstate="57P03")
        yield self

    async def execute(self, query: object) -> None: ...

    async def warm_up(self) -> None: ...

    def forget_failures(self) -> None:
        self.failures_in_row_max = 0
        self.sqlstate = None


def health(database: Scripted, *, passes: int) -> Health:
    settings = HealthSettings(query="SELECT 1", timeout_s=1, interval_s=1, passes=passes)
    return Health(cast("Database", database), settings, needed_redis=None)


def test_a_new_service_is_unwell_until_one_check_has_passed() -> None:
    async def check() -> None:
        checked = health(Scripted(), passes=3)
        with pytest.raises(NotWritten):
            checked.require()
        await checked.check()
        checked.require()

    asyncio.run(check())


@pytest.mark.parametrize("passes", [1, 2, 3])
def test_a_service_found_unwell_is_so_until_enough_checks_in_a_row_have_passed(
    passes: int,
) -> None:
    async def check() -> None:
        database = Scripted()
        checked = health(database, passes=passes)
        await checked.check()
        database.failures_in_row_max = 3
        for _ in range(passes):
            with pytest.raises(NotWritten):
                checked.require()
            await checked.check()
        checked.require()

    asyncio.run(check())


def test_a_check_that_fails_starts_the_count_again() -> None:
    async def check() -> None:
        database = Scripted()
        checked = health(database, passes=2)
        await checked.check()
        for away in (True, False, True, False):
            database.away = away
            await checked.check()
            with pytest.raises(NotWritten):
                checked.require()
        await checked.check()
        checked.require()

    asyncio.run(check())


def test_what_is_refused_names_the_reason_that_the_server_gave() -> None:
    database = Scripted()
    database.failures_in_row_max, database.sqlstate = 3, "57P01"
    with pytest.raises(NotWritten) as refused:
        health(database, passes=1).require()
    assert refused.value.sqlstate == "57P01"
