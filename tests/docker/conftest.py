"""
A real engine, a real Redis in a container of it, and the reference system in containers.

Without an engine these tests skip, with the reason; where `CI` is set they fail, for there a
missing engine would hide everything they are for.
"""

import os
import random
import re
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import docker
import pytest

from perfchaos.containers import ContainerEngine, engine_address
from perfchaos.errors import PerfchaosError
from perfchaos.faults import Contained, Container, Route, Witness
from perfchaos.faults.witness import Fate, Symptom
from perfchaos.processes import Process
from perfchaos.safety import LeaseFile, RunRecord, SafetyNet
from perfchaos.stack.docker import COMPOSE_FILE
from perfchaos.target import BlastRadius
from perfchaos.target import Container as Allowed
from perfchaos.timeline import Timeline
from tests.stack.conftest import Stack, new_stack

HOST = "127.0.0.1"
LABEL = "perfchaos.tests"
# Those of scripts/docker-images.sh, by the variables that name them to compose.
_LOCAL = {
    f"PERFCHAOS_{name.upper()}_IMAGE": f"perfchaos-local/{name}:latest"
    for name in ("postgres", "redis", "toxiproxy", "python")
}
_OFFICIAL = {
    name: image
    for name, image in re.findall(r"\$\{(\w+_IMAGE):-([^}]+)\}", COMPOSE_FILE.read_text())
    if name in _LOCAL
}
_REDIS = "PERFCHAOS_REDIS_IMAGE"
# Below the ephemeral range, and none of the stack's.
_PORTS = range(27_600, 27_900)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisInContainer:
    """One container of the session's own label; `name` tells it from all others."""

    client: Any
    id: str
    name: str
    label: str
    port: int

    @property
    def of(self) -> Contained:
        return Contained(
            dependency="redis",
            container=Container(engine=engine_address(), id=self.id, name=self.name),
            labels=(self.label, "maintainer=somebody"),
            route=Route(protocol="redis", host=HOST, port=self.port),
        )

    @property
    def status(self) -> str:
        with ContainerEngine(engine_address()) as engine:
            return engine.state(self.id).status

    @property
    def raw(self) -> Any:
        """The package's own container."""
        return self.client.containers.get(self.id)

    def await_answer(self) -> None:
        route = self.of.route
        assert route is not None
        symptom = Symptom(route=route, fates=(Fate.REFUSED,))
        with Witness(symptom, healthy=False) as witness:
            assert witness.sees_normal(since_ns=time.monotonic_ns(), within_s=20)

    def ask(self, command: str) -> bytes:
        with socket.create_connection((HOST, self.port), timeout=2) as connection:
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(4096)


type Run = Callable[..., RedisInContainer]


@pytest.fixture(scope="package", autouse=True)
def ends_in_order() -> Iterator[None]:
    """A SIGTERM ends these tests as Ctrl-C does: what they have started is taken away."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def client() -> Iterator[Any]:
    """The package's client of the engine."""
    try:
        with ContainerEngine(engine_address()):
            pass
    except PerfchaosError as error:
        _give_up(str(error))
    client = docker.DockerClient.from_env()
    yield client
    client.close()


@pytest.fixture(scope="session")
def images(client: Any) -> Mapping[str, str]:
    """The images to use: those that the environment names, else the official ones, else ours."""
    here = {tag for found in client.images.list() for tag in found.tags}
    ours = _OFFICIAL[_REDIS] not in here and here.issuperset(_LOCAL.values())
    named = {name: os.environ[name] for name in _LOCAL if name in os.environ}
    chosen = {**(_LOCAL if ours else _OFFICIAL), **named}
    if not here & {chosen[_REDIS], f"{chosen[_REDIS]}:latest"}:
        _give_up(f"the image {chosen[_REDIS]} is not here: pull it or run scripts/docker-images.sh")
    return chosen


@pytest.fixture(scope="session")
def image(images: Mapping[str, str]) -> str:
    """A Redis image that is here."""
    return images[_REDIS]


@pytest.fixture
def stack(images: Mapping[str, str], tmp_path: Path) -> Iterator[Stack]:
    """A stack that is not up; what its containers leave is taken away."""
    fresh = new_stack(tmp_path / "state")
    fresh = replace(fresh, environment={**fresh.environment, **images})
    yield fresh
    fresh.run("down")


@pytest.fixture(scope="package")
def standing(
    images: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A stack that is up in containers, for all tests: they leave it as they found it."""
    fresh = new_stack(tmp_path_factory.mktemp("standing") / "state")
    fresh = replace(fresh, environment={**fresh.environment, **images})
    try:  # An interrupted 'up' is waited for by the 'down'.
        fresh.up("--docker")
        yield fresh
    finally:
        fresh.run("down")


@pytest.fixture(scope="session")
def label(client: Any) -> Iterator[str]:
    """A label of this session alone: what carries it is taken away at the end."""
    label = f"{LABEL}={uuid.uuid4().hex[:12]}"
    yield label
    for container in client.containers.list(
        all=True, filters={"label": label}, ignore_removed=True
    ):
        container.remove(force=True, v=True)
    for network in client.networks.list(filters={"label": label}):
        network.remove()


@pytest.fixture(scope="session")
def run_redis(client: Any, image: str, label: str) -> Run:
    """Runs a Redis in a container."""
    key, _, value = label.partition("=")
    command = ["redis-server", "--protected-mode", "no", "--save", "", "--appendonly", "yes"]

    def run(**options: Any) -> RedisInContainer:
        labels = {key: value, "perfchaos.data": "/data", **options.pop("labels", {})}
        port = _free_port()
        container = client.containers.run(
            image,
            command,
            detach=True,
            name=f"perfchaos-tests-{uuid.uuid4().hex[:8]}",
            labels=labels,
            ports={"6379/tcp": (HOST, port)},
            **options,
        )
        redis = RedisInContainer(
            client=client, id=container.id, name=container.name, label=label, port=port
        )
        redis.await_answer()
        return redis

    return run


@pytest.fixture(scope="module")
def standing_redis(run_redis: Run, client: Any, label: str) -> RedisInContainer:
    """One for all tests of a module; use `redis`."""
    key, _, value = label.partition("=")
    name = f"perfchaos-tests-{uuid.uuid4().hex[:8]}"
    network = client.networks.create(name, labels={key: value})
    redis = run_redis(network=network.name)
    network.disconnect(redis.id)
    network.connect(redis.id, aliases=["cache"])
    return redis


@pytest.fixture
def redis(standing_redis: RedisInContainer) -> RedisInContainer:
    """A Redis in a container, unharmed before the test."""
    container = standing_redis.raw
    if container.status == "paused":
        container.unpause()
    container.start()
    standing_redis.await_answer()
    return standing_redis


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SafetyNet:
    """The safety net of a run of this process, without a watchdog; see `allowing`."""
    monkeypatch.setenv("PERFCHAOS_STATE_DIR", str(tmp_path / "state"))
    run_directory = tmp_path / "run-1"
    run_directory.mkdir()
    leases = LeaseFile.create(
        RunRecord(
            run_id="run-1",
            process=Process.current(),
            run_directory=run_directory,
            target="containers",
        )
    )
    return SafetyNet(
        run_id="run-1",
        leases=leases,
        timeline=Timeline(run_directory / "timeline.jsonl"),
        blast_radius=blast_radius(),
    )


def blast_radius(*containers: RedisInContainer) -> BlastRadius:
    """One that allows these containers."""
    return BlastRadius(
        proxies=frozenset(),
        services=frozenset({"redis"}),
        containers=tuple(Allowed(name=one.name, label=one.label) for one in containers),
        addresses=(HOST,),
        longest_fault_s=100,
    )


def allowing(net: SafetyNet, *containers: RedisInContainer) -> SafetyNet:
    """The same net with these containers in its blast radius."""
    return replace(net, blast_radius=blast_radius(*containers))


def _give_up(why: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"continuous integration needs a container engine: {why}")
    pytest.skip(why)


def _free_port() -> int:
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) != 0:
                return port
    pytest.fail("no port is free")
