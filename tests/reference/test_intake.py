"""Batches: their size, their failures, and those who wait behind them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from perfchaos.reference.database import MaybeWritten, NotWritten
from perfchaos.reference.intake import BatchedIntake, Message

type Keep = Callable[[Sequence[Message]], Awaitable[None]]


def message(number: int) -> Message:
    return Message(message_id=f"{number:032x}", sender="+491701", text="order")


async def outcomes(keep: Keep, *, count: int, waiting_max: int = 100) -> list[Exception | None]:
    """What became of `count` messages that arrive at once, with batches of 2 by one writer."""
    intake = BatchedIntake(keep, batch_size=2, writers=1, waiting_max=waiting_max)
    running = asyncio.create_task(intake.run())
    taken = await asyncio.gather(
        *(intake.take(message(number)) for number in range(count)), return_exceptions=True
    )
    running.cancel()
    return [outcome if isinstance(outcome, Exception) else None for outcome in taken]


def test_a_batch_takes_what_has_arrived_up_to_its_size() -> None:
    sizes = []

    async def keep(messages: Sequence[Message]) -> None:
        sizes.append(len(messages))

    assert asyncio.run(outcomes(keep, count=5)) == [None] * 5
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize("error", [NotWritten("away"), MaybeWritten("broke")])
def test_who_waits_behind_a_failed_batch_is_refused_for_certain(error: Exception) -> None:
    async def keep(_messages: Sequence[Message]) -> None:
        raise error

    first, second, *waiting = asyncio.run(outcomes(keep, count=5))
    assert first is error
    assert second is error
    assert len(waiting) == 3
    assert all(isinstance(outcome, NotWritten) for outcome in waiting)


def test_a_failed_batch_does_not_end_the_writer() -> None:
    async def scenario() -> None:
        attempts = 0

        async def keep(_messages: Sequence[Message]) -> None:
            nonlocal attempts
            attempts += 1
            if attempts == 1:
                raise NotWritten("away")

        intake = BatchedIntake(keep, batch_size=2, writers=1, waiting_max=9)
        running = asyncio.create_task(intake.run())
        with pytest.raises(NotWritten):
            await intake.take(message(1))
        await intake.take(message(2))
        running.cancel()

    asyncio.run(scenario())


def test_one_more_than_may_wait_is_refused() -> None:
    async def keep(_messages: Sequence[Message]) -> None:
        return

    assert asyncio.run(outcomes(keep, count=3, waiting_max=3)) == [None] * 3
    *taken, refused = asyncio.run(outcomes(keep, count=4, waiting_max=3))
    assert taken == [None] * 3
    assert isinstance(refused, NotWritten)
