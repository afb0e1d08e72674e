"""A breaker opens at its threshold and closes by its own trial."""

import asyncio
from collections.abc import Awaitable, Callable

from perfchaos.reference.breaker import CircuitBreaker


async def passes() -> None:
    return


async def closed(under_test: CircuitBreaker) -> None:
    async with asyncio.timeout(5):
        while under_test.is_open:  # noqa: ASYNC110 - it tells nobody, it is asked
            await asyncio.sleep(0)


def breaker(
    *, threshold: int | None, trial: Callable[[], Awaitable[object]] = passes
) -> CircuitBreaker:
    return CircuitBreaker("breaker", threshold=threshold, retry_s=0.0, trial=trial)


def test_opens_at_the_threshold_and_not_before() -> None:
    under_test = breaker(threshold=3)
    for expected in (False, False, True):
        under_test.failed()
        assert under_test.is_open is expected


def test_a_success_starts_the_count_again() -> None:
    under_test = breaker(threshold=2)
    under_test.failed()
    under_test.succeeded()
    under_test.failed()
    assert not under_test.is_open


def test_without_a_threshold_it_never_opens() -> None:
    under_test = breaker(threshold=None)
    for _ in range(1000):
        under_test.failed()
    assert not under_test.is_open


def test_stays_open_until_the_trial_passes() -> None:
    async def scenario() -> int:
        trials = 0

        async def third_time_lucky() -> None:
            nonlocal trials
            trials += 1
            if trials < 3:
                raise ConnectionError

        under_test = breaker(threshold=1, trial=third_time_lucky)
        watching = asyncio.create_task(under_test.watch())
        under_test.failed()
        await closed(under_test)
        watching.cancel()
        return trials

    assert asyncio.run(scenario()) == 3


def test_opens_again_after_it_has_closed() -> None:
    async def scenario() -> None:
        under_test = breaker(threshold=2)
        watching = asyncio.create_task(under_test.watch())
        for _ in range(2):
            under_test.failed()
            under_test.failed()
            assert under_test.is_open
            await closed(under_test)
        watching.cancel()

    asyncio.run(scenario())
