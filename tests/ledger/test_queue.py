"""Which requests wait in the queue of a real Redis."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from perfchaos.errors import PerfchaosError
from perfchaos.ledger import queue
from perfchaos.ledger.queue import queued_by_redis
from perfchaos.recording.ids import id_of
from perfchaos.target import Queue, Target
from tests.redis_server import as_target, redis_server

SEED = 7
STREAM = Queue(key="orders", kind="stream", group="workers")
LIST = Queue(key="orders", kind="list", group=None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    with redis_server(tmp_path_factory.mktemp("redis"), "--save", "") as client:
        yield client


@pytest.fixture
def client(server: redis.Redis) -> redis.Redis:
    server.flushall()
    return server


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of three, so that every boundary of them is met."""
    monkeypatch.setattr(queue, "ENTRIES_A_PAGE", 3)


def queued(client: redis.Redis, target: Target, of: Queue) -> list[int]:
    asked = replace(target, redis=as_target(client, of))
    return [int(number) for number in queued_by_redis(asked, SEED).numbers]


def add(client: redis.Redis, numbers: range) -> None:
    for number in numbers:
        client.xadd(STREAM.key, {"note": "an order", "id": id_of(SEED, number)})


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 6, 7])
def test_undelivered_and_unconfirmed_entries_wait(
    client: redis.Redis, target: Target, count: int
) -> None:
    client.xgroup_create(STREAM.key, "workers", id="0", mkstream=True)
    add(client, range(count))
    if count:
        client.xreadgroup("workers", "w0", {STREAM.key: ">"}, count=count)
    add(client, range(count, 2 * count))
    assert queued(client, target, STREAM) == list(range(2 * count))


def test_confirmed_entries_do_not_wait(client: redis.Redis, target: Target) -> None:
    client.xgroup_create(STREAM.key, "workers", id="0", mkstream=True)
    add(client, range(5))
    client.xreadgroup("workers", "w0", {STREAM.key: ">"}, count=4)
    first = client.xpending_range(STREAM.key, "workers", "-", "+", 1)
    client.xack(STREAM.key, "workers", first[0]["message_id"])
    assert queued(client, target, STREAM) == [1, 2, 3, 4]


def test_without_the_group_everything_in_the_stream_waits(
    client: redis.Redis, target: Target
) -> None:
    add(client, range(7))
    assert queued(client, target, STREAM) == list(range(7))
    assert queued(client, target, replace(STREAM, group=None)) == list(range(7))


def test_an_id_anywhere_in_an_item_of_a_list_is_found_once(
    client: redis.Redis, target: Target
) -> None:
    ours = id_of(SEED, 4)
    client.rpush(LIST.key, f'{{"id": "{ours}", "again": "{ours}"}}', ours, id_of(SEED + 1, 5), "x")
    assert queued(client, target, LIST) == [4]


def test_a_key_that_is_not_there_holds_nothing(client: redis.Redis, target: Target) -> None:
    assert queued(client, target, LIST) == []
    assert queued(client, target, STREAM) == []


def test_a_key_of_another_type_is_an_error_and_no_empty_queue(
    client: redis.Redis, target: Target
) -> None:
    client.set(LIST.key, "text")
    with pytest.raises(PerfchaosError, match="WRONGTYPE"):
        queued(client, target, LIST)


def test_a_target_without_a_queue_says_what_to_add(target: Target) -> None:
    with pytest.raises(PerfchaosError, match=r"add redis\.queue"):
        queued_by_redis(target, SEED)
