"""Which requests wait in the queue of a real Redis."""

import json
import pickle
import zlib
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from perfchaos.errors import PerfchaosError
from perfchaos.ledger import queue
from perfchaos.ledger.elsewhere import waiting_elsewhere
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


@pytest.mark.parametrize(("group", "kept"), [("workers", False), (None, True)])
def test_only_a_stream_whose_target_names_no_group_keeps_what_is_done(
    client: redis.Redis, target: Target, group: str | None, kept: bool
) -> None:
    asked = replace(target, redis=as_target(client, replace(STREAM, group=group)))
    assert queued_by_redis(asked, SEED).kept is kept


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


def celery_message(number: int, *, cut_short: bool = False, packed: bool = False) -> str:
    """As kombu writes one: the arguments in the body, and in words in a header."""
    body = json.dumps([[id_of(SEED, number)], {}, {}]).encode()
    return json.dumps(
        {
            "body": b64encode(zlib.compress(body) if packed else body).decode(),
            "headers": {"argsrepr": "('...',)" if cut_short else f"('{id_of(SEED, number)}',)"},
        }
    )


def test_celery_s_messages_wait_in_every_list_and_where_workers_keep_what_they_reserved(
    client: redis.Redis, target: Target
) -> None:
    client.lpush("celery", celery_message(0), celery_message(1, cut_short=True))
    client.lpush("celery\x06\x163", celery_message(2, cut_short=True, packed=True))
    reserved = json.dumps([json.loads(celery_message(3, cut_short=True)), "", "celery"])
    client.hset("unacked", "tag", reserved)
    assert queued(client, target, Queue(key="celery", kind="celery")) == [0, 1, 2, 3]
    client.rename("unacked", "elsewhere")
    of = Queue(key="celery", kind="celery", unacked="elsewhere")
    assert queued(client, target, of) == [0, 1, 2, 3]


def test_a_list_beside_celery_s_reserved_messages_says_which_kind_it_is(
    client: redis.Redis, target: Target
) -> None:
    asked = replace(target, redis=as_target(client, replace(LIST, key="celery")))
    client.lpush("celery", celery_message(0))
    assert queued_by_redis(asked, SEED).overlooked is None
    client.hset("unacked", "tag", celery_message(1))
    overlooked = queued_by_redis(asked, SEED).overlooked
    assert overlooked is not None
    assert "set redis.queue.kind to celery" in overlooked


def test_rq_s_jobs_wait_in_its_list_and_in_the_registries_of_what_is_not_done(
    client: redis.Redis, target: Target
) -> None:
    places = ("scheduled", "deferred", "wip", "failed", "finished")
    for number, place in enumerate(("queue", *places)):
        payload = zlib.compress(pickle.dumps(("tasks.store", None, (id_of(SEED, number),), {})))
        client.hset(f"rq:job:job-{place}", mapping={"data": payload, "description": "?"})
    client.rpush("rq:queue:orders", "job-queue")
    for place in places:
        member = "job-wip:execution" if place == "wip" else f"job-{place}"
        client.zadd(f"rq:{place}:orders", {member: 1})
    assert queued(client, target, Queue(key="orders", kind="rq")) == [0, 1, 2, 3, 4]


def test_an_id_without_dashes_or_in_capitals_is_found_in_the_queue_too(
    client: redis.Redis, target: Target
) -> None:
    client.rpush(LIST.key, id_of(SEED, 4).upper(), id_of(SEED, 5).replace("-", ""))
    assert queued(client, target, LIST) == [4, 5]


def test_a_command_of_one_s_own_prints_what_waits(target: Target) -> None:
    printing = ("sh", "-c", f"echo from {{first}}; echo 'job {id_of(SEED, 7)}'")
    found = waiting_elsewhere(replace(target, waiting_command=printing), SEED)
    assert (found.numbers.tolist(), found.entries_count) == ([0, 7], 2)


@pytest.mark.parametrize(
    ("command", "said"),
    [(("sh", "-c", "echo no >&2; exit 3"), "exit code 3: no"), (("/no/such",), "No such file")],
)
def test_a_command_that_fails_is_named_and_no_empty_queue(
    target: Target, command: tuple[str, ...], said: str
) -> None:
    with pytest.raises(PerfchaosError, match=rf"ledger\.waiting_command .*{said}"):
        waiting_elsewhere(replace(target, waiting_command=command), SEED)
