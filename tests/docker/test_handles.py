"""A handle names one container, or it is said why not."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from perfchaos.containers import ContainerEngine, ContainerGone, EngineError
from perfchaos.errors import PerfchaosError
from perfchaos.faults import ContainerKilled, ContainerPaused, contained, frozen, killed
from perfchaos.target import Handle, Redis, Target
from perfchaos.target.loading import load_target
from tests.docker.conftest import HOST, RedisInContainer, Run, blast_radius

_TARGET = """
name: containers
webhook: {url: "http://127.0.0.1:1/", acknowledged: [200]}
blast_radius: {addresses: [127.0.0.1], longest_fault_s: 60}
"""
_SERVICE = "com.docker.compose.service"
_PROJECT = "com.docker.compose.project"


@pytest.fixture
def bare(tmp_path: Path) -> Target:
    """A target that has neither Redis nor Postgres."""
    path = tmp_path / "target.yaml"
    path.write_text(_TARGET)
    return load_target(path)


def with_redis(target: Target, redis: RedisInContainer, control: str) -> Target:
    return replace(
        target,
        blast_radius=blast_radius(redis),
        redis=Redis(
            host=HOST,
            port=redis.port,
            database=0,
            username=None,
            password_env=None,
            tls=False,
            proxy=None,
            control=Handle.read(control),
            queue=None,
        ),
    )


def test_a_container_is_found_by_its_name(bare: Target, redis: RedisInContainer) -> None:
    found = contained(bare, Handle.read(f"docker:{redis.name}"))
    assert found.container == redis.of.container
    assert redis.label in found.labels
    assert found.route is None


def test_the_targets_own_redis_is_known_by_any_of_its_names(
    bare: Target, redis: RedisInContainer
) -> None:
    target = with_redis(bare, redis, f"docker:{redis.name}")
    found = contained(target, Handle.read(f"docker:{redis.id}"))
    assert found.dependency == "redis"
    assert found.route == redis.of.route


def test_redis_is_harmed_by_its_handle(bare: Target, redis: RedisInContainer) -> None:
    target = with_redis(bare, redis, f"docker:{redis.name}")
    assert isinstance(killed(target, "redis"), ContainerKilled)
    assert isinstance(frozen(target, "redis"), ContainerPaused)


def test_a_service_is_found_in_its_project(bare: Target, run_redis: Run) -> None:
    one = run_redis(labels={_PROJECT: "perfchaos-tests-one", _SERVICE: "perfchaos-tests-cache"})
    service = Handle.read("compose:perfchaos-tests-cache")
    assert contained(bare, service).container.id == one.id
    other = run_redis(labels={_PROJECT: "perfchaos-tests-two", _SERVICE: "perfchaos-tests-cache"})
    with pytest.raises(EngineError, match="more than one container"):
        contained(bare, service)
    of_two = Handle.read("compose:perfchaos-tests-two/perfchaos-tests-cache")
    assert contained(bare, of_two).container.id == other.id
    allowed = replace(bare, blast_radius=blast_radius(one))
    assert contained(allowed, service).container.id == one.id


@pytest.mark.parametrize("handle", ["docker:perfchaos-tests-none", "compose:perfchaos-tests-none"])
def test_nothing_is_said_to_be_nothing(handle: str, bare: Target, client: object) -> None:
    with pytest.raises(ContainerGone, match=r"not there|no container"):
        contained(bare, Handle.read(handle))


@pytest.mark.parametrize("text", ["", "redis", "docker:", "podman:x", ":x"])
def test_what_is_no_handle_is_refused(text: str) -> None:
    with pytest.raises(PerfchaosError, match="the handle"):
        Handle.read(text)


def test_no_engine_is_said_so(tmp_path: Path) -> None:
    with (
        pytest.raises(EngineError, match=r"no container engine at unix:///.* start Docker"),
        ContainerEngine(f"unix://{tmp_path}/none.sock"),
    ):
        pytest.fail("there is none")


def test_a_socket_that_may_not_be_used_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0)
        with (
            as_an_ordinary_user(),
            pytest.raises(EngineError, match="may not be used by this user"),
            ContainerEngine(f"unix://{path}"),
        ):
            pytest.fail("it was used")


@contextmanager
def as_an_ordinary_user() -> Iterator[None]:
    """Root may use every socket; nobody may not."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
