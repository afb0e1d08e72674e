"""A fault of a proxy proves nothing about clients that go past it: the run says so."""

import os
from collections.abc import Iterator

import httpx
import pytest
import redis

from perfchaos.launches import read_environment_file
from perfchaos.stack.ports import HOST
from perfchaos.stack.server import secrets_file
from tests.ports import free_ports
from tests.run.conftest import Chaos
from tests.stack.conftest import Stack


@pytest.fixture
def unused_proxy(tuned: Stack) -> Iterator[str]:
    """A proxy before the Redis of the stack that nobody goes through."""
    proxies = f"http://{HOST}:{tuned.ports.toxiproxy}/proxies"
    [port] = free_ports(1)
    proxy = {"name": "unused", "listen": f"{HOST}:{port}", "enabled": True}
    proxy["upstream"] = f"{HOST}:{tuned.ports.redis}"
    httpx.post(proxies, json=proxy).raise_for_status()
    yield "unused"
    httpx.delete(f"{proxies}/unused").raise_for_status()


def test_a_proxy_that_nobody_goes_through_fails_the_run(chaos: Chaos, unused_proxy: str) -> None:
    target = chaos.target
    target["redis"]["proxy"] = unused_proxy
    target["blast_radius"]["proxies"].append(unused_proxy)
    ended = chaos.run("redis-timeout.yaml", target=target)
    assert ended.exit_code == 1
    assert ended.verdict["status"] == "failed"
    assert ended.verdict["faults"] == []
    [reason] = ended.verdict["reasons"]
    assert "every client of redis comes past the proxy 'unused'" in reason


def test_clients_that_a_fault_does_not_touch_are_named(chaos: Chaos) -> None:
    password = read_environment_file(secrets_file(chaos.stack.home))["REDIS_PASSWORD"]
    with redis.Redis(host=HOST, port=chaos.stack.ports.redis, password=password) as past:
        past.ping()
        ended = chaos.run("redis-timeout.yaml", outage_s=1, recovery_s=1)
    [fault] = ended.verdict["faults"]
    assert f"pid {os.getpid()}" in fault["bypassed_by"]
    assert "past the proxy" in ended.said
