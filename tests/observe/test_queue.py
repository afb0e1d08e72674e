"""Looking at a queue in a real Redis: what waits, who takes, and what cannot be looked at."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from perfchaos.errors import InvalidInput, PerfchaosError
from perfchaos.observe.queue import QueueLook, QueueState, queue_readings, queue_watched
from perfchaos.redis_client import RedisUnavailable
from perfchaos.target import Queue
from tests.redis_server import HOST, as_target, free_port, redis_server

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


def look(client: redis.Redis, queue: Queue = STREAM) -> QueueState:
    with closing(QueueLook(as_target(client), queue)) as look_at:
        return look_at()


def add(client: redis.Redis, count: int) -> list[bytes]:
    """The numbers of the entries added."""
    added: list[Any] = [client.xadd(STREAM.key, {"id": str(n)}) for n in range(count)]
    return added


def test_what_waits_is_undelivered_or_unconfirmed(client: redis.Redis) -> None:
    client.xgroup_create(STREAM.key, "workers", id="0", mkstream=True)
    add(client, 10)
    client.xreadgroup("workers", "w0", {STREAM.key: ">"}, count=4)
    state = look(client)
    assert (state.waiting, state.undelivered, state.arrived) == (10, 6, 10)
    (consumer,) = state.consumers
    assert (consumer.name, consumer.pending) == ("w0", 4)


def test_what_is_confirmed_waits_no_more_whether_deleted_or_not(client: redis.Redis) -> None:
    client.xgroup_create(STREAM.key, "workers", id="0", mkstream=True)
    numbers = add(client, 4)
    client.xreadgroup("workers", "w0", {STREAM.key: ">"})
    client.xack(STREAM.key, "workers", *numbers)
    client.xdel(STREAM.key, numbers[0])
    assert look(client).waiting == 0


def test_a_lag_that_redis_cannot_tell_is_counted(client: redis.Redis) -> None:
    client.xgroup_create(STREAM.key, "workers", id="0", mkstream=True)
    numbers = add(client, 5)
    client.xreadgroup("workers", "w0", {STREAM.key: ">"}, count=1)
    client.xdel(STREAM.key, numbers[3])
    assert client.xinfo_groups(STREAM.key)[0]["lag"] is None
    state = look(client)
    assert (state.undelivered, state.waiting) == (3, 4)


def test_a_group_that_is_gone_leaves_everything_waiting(client: redis.Redis) -> None:
    add(client, 3)
    state = look(client)
    assert state.group_there is False
    assert state.waiting == 3
    assert state.consumers == ()


def test_a_stream_that_is_gone_holds_nothing_and_has_no_group(client: redis.Redis) -> None:
    state = look(client)
    assert not state.there
    assert (state.waiting, state.arrived, state.group_there) == (0, 0, False)


def test_a_stream_without_a_group_waits_as_a_whole(client: redis.Redis) -> None:
    add(client, 3)
    state = look(client, dataclasses.replace(STREAM, group=None))
    assert (state.waiting, state.group_there) == (3, None)


def test_reading_ones_own_history_is_asking_and_not_taking(client: redis.Redis) -> None:
    client.xgroup_create(STREAM.key, "workers", id="0", mkstream=True)
    client.xreadgroup("workers", "w0", {STREAM.key: "0"})
    before = look(client)
    add(client, 1)
    client.xreadgroup("workers", "w0", {STREAM.key: "0"})
    after = look(client)
    assert after.taken == before.taken
    assert after.undelivered == 1


def test_a_list_waits_as_a_whole(client: redis.Redis) -> None:
    client.rpush(LIST.key, "a", "b")
    state = look(client, LIST)
    assert (state.there, state.waiting, state.undelivered) == (True, 2, 2)
    assert state.group_there is None


@pytest.mark.parametrize(
    ("flags", "told"), [("", False), ("K$", False), ("Kl", True), ("KA", True)]
)
def test_what_is_pushed_to_a_list_is_counted_where_redis_tells_of_it_and_no_other_is(
    client: redis.Redis, flags: str, told: bool
) -> None:
    client.config_set("notify-keyspace-events", flags)
    with closing(QueueLook(as_target(client), LIST)) as look_at:
        before = look_at().arrived
        client.rpush("another", *"abc")
        client.rpush(LIST.key, "a")
        client.lpush(LIST.key, "b")
        client.lpop(LIST.key)
        after = look_at().arrived
    client.config_set("notify-keyspace-events", "")
    assert (None if before is None or after is None else after - before) == (2 if told else None)


@pytest.mark.parametrize(
    ("done", "taken"),
    [
        (lambda client: None, False),
        (lambda client: client.rpush("orders", "d"), False),
        (lambda client: client.lpush("orders", "d"), False),
        (lambda client: (client.lpush("another", "x"), client.rpop("another")), False),
        (lambda client: client.rpop("orders"), True),
        (lambda client: (client.lpush("orders", "d"), client.rpop("orders")), True),
        (lambda client: client.delete("orders"), True),
    ],
    ids=["nothing", "added", "added before", "another list", "taken", "both", "all"],
)
def test_that_something_was_taken_is_seen_by_the_ends_of_the_list_itself(
    client: redis.Redis, done: Callable[[redis.Redis], object], taken: bool
) -> None:
    client.rpush(LIST.key, "a", "b", "c")
    with closing(QueueLook(as_target(client), LIST)) as look_at:
        before = look_at().taken
        done(client)
        assert (look_at().taken != before) is taken


def test_celery_s_queue_is_its_lists_of_every_priority_and_what_workers_have_reserved(
    client: redis.Redis,
) -> None:
    client.rpush("celery", "a")
    client.rpush("celery\x06\x169", "b", "c")
    client.hset("unacked", "tag", "d")
    state = look(client, Queue(key="celery", kind="celery"))
    assert (state.waiting, state.undelivered) == (4, 3)


def test_rq_s_queue_is_its_list_and_what_is_scheduled_deferred_and_under_way(
    client: redis.Redis,
) -> None:
    client.rpush("rq:queue:orders", "a")
    client.rpush("rq:queue:orders:intermediate", "b")
    for registry in ("scheduled", "deferred", "wip", "failed", "finished"):
        client.zadd(f"rq:{registry}:orders", {registry: 1})
    state = look(client, Queue(key="orders", kind="rq"))
    assert (state.waiting, state.undelivered) == (5, 2)


def test_clients_that_pop_are_the_consumers_of_a_list(client: redis.Redis) -> None:
    port = as_target(client).port
    with closing(redis.Redis(host=HOST, port=port, client_name="worker-7")) as worker:
        worker.lpop(LIST.key)
        assert "worker-7" in {consumer.name for consumer in look(client, LIST).consumers}


@pytest.mark.parametrize(("queue", "held"), [(STREAM, "a list"), (LIST, "a stream")])
def test_a_key_of_another_type_is_named(client: redis.Redis, queue: Queue, held: str) -> None:
    if queue is STREAM:
        client.rpush(queue.key, "a")
    else:
        add(client, 1)
    with pytest.raises(InvalidInput, match=f"'orders' holds {held}, not a {queue.kind}"):
        look(client, queue)


def test_a_server_that_is_away_is_named(tmp_path: Path) -> None:
    with redis_server(tmp_path) as client:
        target = as_target(client)
    with closing(QueueLook(target, STREAM)) as look_at:
        with pytest.raises(RedisUnavailable, match=rf"redis at {HOST}:{target.port} .*is up"):
            look_at()


def test_a_server_without_tls_is_told_from_one_that_is_away(client: redis.Redis) -> None:
    with closing(QueueLook(as_target(client, tls=True), STREAM)) as look_at:
        with pytest.raises(RedisUnavailable, match=r"redis\.tls: false"):
            look_at()


def test_a_wrong_password_is_named_and_never_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUE_PASSWORD", "not-the-right-one")
    with redis_server(tmp_path, "--requirepass", "open-sesame") as client:
        for variable in (None, "QUEUE_PASSWORD"):
            target = dataclasses.replace(as_target(client), password_env=variable)
            with closing(QueueLook(target, STREAM)) as look_at:
                with pytest.raises(RedisUnavailable, match=r"redis\.password_env") as raised:
                    look_at()
            assert "not-the-right-one" not in str(raised.value)


def test_a_user_of_the_target_file_is_used(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUE_PASSWORD", "pw")
    client.acl_setuser("watcher", enabled=True, passwords=["+pw"], commands=["+ping"])
    target = dataclasses.replace(
        as_target(client), username="watcher", password_env="QUEUE_PASSWORD"
    )
    with closing(QueueLook(target, STREAM)) as look_at:
        with pytest.raises(PerfchaosError, match="let the user of the target file"):
            look_at()
        client.acl_setuser("watcher", enabled=True, keys=["orders"], categories=["+@all"])
        assert look_at().waiting == 0


def test_a_look_that_fails_is_a_reading_too(tmp_path: Path) -> None:
    port, path = free_port(), tmp_path / "queue.jsonl"
    with redis_server(tmp_path, port=port) as client:
        watched = queue_watched(QueueLook(as_target(client), STREAM), path)
        with watched:
            _await_reading(path, failed=False)
            client.shutdown(nosave=True)
            _await_reading(path, failed=True)
            with redis_server(tmp_path, port=port):
                count = len(queue_readings(path))
                _await_reading(path, failed=False, after=count)
    readings = queue_readings(path)
    assert all(before.at_ns < after.at_ns for before, after in itertools.pairwise(readings))


def _await_reading(path: Path, *, failed: bool, after: int = 0) -> None:
    while not any((reading.state is None) is failed for reading in queue_readings(path)[after:]):
        pass
