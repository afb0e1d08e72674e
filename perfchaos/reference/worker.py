"""
The worker process: consumers of the queue and the sweep of the inbox, until SIGTERM.

It may be killed at any moment and any number may run at once: see `perfchaos.reference.consumer`.
"""

import asyncio
import logging
import os
import signal
import sys

import uvloop

from perfchaos.errors import PerfchaosError
from perfchaos.reference import defects, queue
from perfchaos.reference.consumer import BLOCK_S, sweep_for_ever
from perfchaos.reference.database import Database
from perfchaos.reference.settings import Settings, read_settings

_log = logging.getLogger(__name__)


async def work(settings: Settings) -> None:
    """Consume and sweep until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    concurrency = settings.worker.concurrency
    database = Database(
        settings.postgres,
        name="orders-worker",
        pool_size=concurrency + 2,  # one for the sweep, one for taking over
        synchronous_commit=defects.synchronous_commit(settings.defects),
    )
    timeout_s = settings.redis.timeout_s
    redis = queue.connect(settings.redis, timeout_s=timeout_s and BLOCK_S + timeout_s)
    consumers = [
        defects.consumer_class(settings.defects)(
            database,
            redis,
            name=f"{settings.worker.name}-{number}",
            batch_size=settings.worker.batch_size,
        )
        for number in range(concurrency)
    ]
    await database.open()
    tasks = [
        *(asyncio.create_task(consumer.run()) for consumer in consumers),
        asyncio.create_task(consumers[0].take_over()),
        asyncio.create_task(sweep_for_ever(database, defects.sweep(settings.defects))),
    ]
    stopped = asyncio.create_task(stop.wait())
    _log.info("worker %s: %d consumers", settings.worker.name, concurrency)
    await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
    await database.hang_up()
    for task in [*tasks, stopped]:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    await queue.close(redis)
    await database.close()
    for error in ended:
        if isinstance(error, Exception):
            raise error


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    try:
        settings = defects.altered(read_settings(os.environ))
    except PerfchaosError as error:
        sys.exit(f"error: {error}")
    uvloop.run(work(settings))


if __name__ == "__main__":
    main()
