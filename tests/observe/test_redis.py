"""What a look at the clients of a real Redis finds."""

import dataclasses
from collections.abc import Iterator

import pytest
import redis

from perfchaos.observe.redis import RedisLook, RedisState
from perfchaos.observe.sampler import Reading
from perfchaos.redis_client import RedisUnavailable
from perfchaos.timeline import Fact
from tests.redis_server import as_target, redis_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    with redis_server(tmp_path_factory.mktemp("redis"), "--save", "") as client:
        yield client


def seen(look: RedisLook) -> RedisState:
    state = RedisState.of(Reading(at_ns=0, values=look(), failed=None))
    assert state is not None
    return state


def test_own_clients_are_not_the_targets(server: redis.Redis) -> None:
    with RedisLook(as_target(server)) as look:
        before = seen(look).clients
        with redis.Redis(port=as_target(server).port) as other, other.pubsub() as listening:
            listening.subscribe("news")
            listening.get_message(timeout=1)
            other.ping()
            assert seen(look).clients == before + 2
        assert seen(look).unused_s == ()


def test_a_redis_that_is_not_there_is_an_error_of_ours(server: redis.Redis) -> None:
    nowhere = dataclasses.replace(as_target(server), port=9)
    with RedisLook(nowhere) as look, pytest.raises(RedisUnavailable, match="its clients"):
        look()


@pytest.mark.parametrize("failed", [None, "it did not answer"])
def test_a_look_that_failed_has_no_state(failed: str | None) -> None:
    values: dict[str, Fact] = {} if failed else {"clients": 4, "unused_s": "[7.5, 1.2]"}
    state = RedisState.of(Reading(at_ns=0, values=values, failed=failed))
    assert state == (None if failed else RedisState(clients=4, unused_s=(7.5, 1.2)))
