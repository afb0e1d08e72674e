"""The client of the queue tells every loss of its connection as one."""

import asyncio
from typing import Any

import pytest
import uvloop
from redis.exceptions import ConnectionError as RedisConnectionError

from perfchaos.reference.queue import connect
from perfchaos.reference.settings import read_settings
from tests.reference.conftest import Marketplace


@pytest.mark.parametrize("timeout_s", [None, 1.0])
def test_a_connection_that_the_loop_has_lost_already_is_told_as_lost(
    marketplace: Marketplace, timeout_s: float | None
) -> None:
    settings = read_settings(marketplace.environment()).redis

    async def lose_and_use() -> None:
        connection: Any = connect(settings, timeout_s=timeout_s).connection_pool.make_connection()  # type: ignore[no-untyped-call]
        await connection.connect()
        connection._writer.transport.abort()
        await asyncio.sleep(0)
        with pytest.raises(RedisConnectionError):
            await connection.send_command("PING")

    uvloop.run(asyncio.wait_for(lose_and_use(), 10))
