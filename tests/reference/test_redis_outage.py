"""While Redis is away every message is acknowledged, and takes effect once."""

import contextlib
from collections.abc import Callable

import pytest

from tests.reference.conftest import Marketplace, Service, until

OUTAGES: dict[str, Callable[[Marketplace], contextlib.AbstractContextManager[None]]] = {
    "silent after the command": lambda market: market.silent("redis", "downstream"),
    "silent before the command": lambda market: market.silent("redis", "upstream"),
    "refusing": lambda market: market.refusing("redis"),
    "restarted": lambda market: market.killed("redis"),
    "restarted empty": lambda market: market.killed("redis", emptied=True),
}


def send(service: Service, count: int) -> list[str]:
    """The ids of `count` messages, all of which were acknowledged."""
    sent = [service.webhook() for _ in range(count)]
    assert {status for _, status in sent} == {202}
    return [message_id for message_id, _ in sent]


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES.keys())
def test_nothing_is_refused_lost_or_done_twice(
    marketplace: Marketplace,
    tuned: Service,
    outage: Callable[[Marketplace], contextlib.AbstractContextManager[None]],
) -> None:
    message_ids = send(tuned, 10)
    with outage(marketplace):
        message_ids += send(tuned, 20)
        assert tuned.health()["redis"] == "bypassed"
        until(lambda: len(marketplace.effects(message_ids)) == 30)
    until(lambda: tuned.health()["redis"] == "ok")
    message_ids += send(tuned, 10)
    until(lambda: len(marketplace.effects(message_ids)) == 40)
    until(lambda: marketplace.backlog() == 0)
    assert set(marketplace.effects(message_ids).values()) == {1}


def test_what_redis_forgot_is_found_in_the_inbox(marketplace: Marketplace) -> None:
    with marketplace.service() as service:
        message_ids = send(service, 20)  # and no worker runs
        with marketplace.killed("redis", emptied=True):
            pass
        with marketplace.worker():
            until(lambda: len(marketplace.effects(message_ids)) == 20)
    assert set(marketplace.effects(message_ids).values()) == {1}


def test_without_a_way_around_redis_every_message_is_refused(marketplace: Marketplace) -> None:
    with marketplace.service(WEBHOOK_QUEUE_ENABLED="false") as service:
        with marketplace.refusing("redis"):
            message_ids, statuses = zip(*(service.webhook() for _ in range(5)), strict=True)
            assert set(statuses) == {503}
        assert marketplace.effects(list(message_ids)) == {}
