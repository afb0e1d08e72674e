"""The reference system in containers, brought up and taken down by the real command."""

import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from perfchaos.launches import read_environment_file
from perfchaos.stack.docker import project_of
from perfchaos.stack.postgres_server import DATABASE, USER
from perfchaos.stack.target_file import BLAST_RADIUS_LABEL
from tests.docker.conftest import HOST
from tests.stack.clients import NAMES
from tests.stack.conftest import Stack
from tests.waiting import eventually


def containers(client: Any, stack: Stack) -> dict[str, Any]:
    """All that the engine has of a stack, by the name of the service."""
    label = f"com.docker.compose.project={project_of(stack.home)}"
    found = client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
    return {one.labels["com.docker.compose.service"]: one for one in found}


def left_of(client: Any, stack: Stack) -> list[str]:
    """What the engine and the state directory still hold of a stack."""
    label = {"label": f"com.docker.compose.project={project_of(stack.home)}"}
    networks = [network.name for network in client.networks.list(filters=label)]
    return sorted(containers(client, stack)) + networks + stack.leftovers()


def volumes(client: Any) -> set[str]:
    return {volume.name for volume in client.volumes.list()}


def postgres(stack: Stack) -> psycopg.Connection:
    secrets = read_environment_file(stack.home / "secrets.env")
    return psycopg.connect(
        host=HOST,
        port=stack.ports.postgres_proxy,
        dbname=DATABASE,
        user=USER,
        password=secrets["POSTGRES_PASSWORD"],
    )


# ---- a stack that stands


def test_everything_is_up(standing: Stack) -> None:
    code, output = standing.run("status")
    assert code == 0, output
    assert [line.split()[:2] for line in output.splitlines()] == [
        [name, "running"] for name in NAMES
    ]


def test_ports_are_published_on_the_loopback_alone(client: Any, standing: Stack) -> None:
    published = [
        (one.name, binding["HostIp"])
        for one in containers(client, standing).values()
        for bindings in one.attrs["NetworkSettings"]["Ports"].values()
        for binding in bindings or ()
    ]
    assert published
    assert {host for _, host in published} == {HOST}


def test_what_may_be_harmed_carries_the_label_and_nothing_else_does(
    client: Any, standing: Stack
) -> None:
    target = yaml.safe_load((standing.home / "target.yaml").read_text())
    allowed = {(one["name"], one["label"]) for one in target["blast_radius"]["containers"]}
    labelled = {
        (one.name, f"{BLAST_RADIUS_LABEL}={one.labels[BLAST_RADIUS_LABEL]}")
        for one in containers(client, standing).values()
        if BLAST_RADIUS_LABEL in one.labels
    }
    assert labelled == allowed


def test_no_secret_is_in_a_command_or_in_the_target_file(client: Any, standing: Stack) -> None:
    secrets = read_environment_file(standing.home / "secrets.env").values()
    commands = [
        " ".join(row)
        for one in containers(client, standing).values()
        if one.status == "running"
        for row in one.top()["Processes"]
    ]
    target = (standing.home / "target.yaml").read_text()
    assert not [secret for secret in secrets if secret in target or secret in "\n".join(commands)]


def test_up_again_changes_nothing(client: Any, standing: Stack) -> None:
    def ids() -> dict[str, str]:
        return {name: one.id for name, one in containers(client, standing).items()}

    before = ids()
    assert standing.up("--docker").endswith(
        f"already up\ntarget file: {standing.home}/target.yaml\n"
    )
    assert ids() == before


@pytest.mark.parametrize("name", ["redis", "worker"])
def test_up_starts_again_what_died(name: str, client: Any, standing: Stack) -> None:
    containers(client, standing)[name].kill()
    assert standing.run("status")[0] == 1
    assert f"started {name}\n" in standing.up("--docker")
    assert standing.run("status")[0] == 0


def test_up_lets_go_on_what_is_paused(client: Any, standing: Stack) -> None:
    containers(client, standing)["worker"].pause()
    code, output = standing.run("status")
    assert (code, "worker     paused" in output) == (1, True)
    standing.up("--docker")
    assert standing.run("status")[0] == 0


def test_other_ports_need_a_down_first(standing: Stack) -> None:
    code, output = standing.run("up", "--docker", PERFCHAOS_REDIS_PORT="1")
    assert code == 2
    assert "run 'perfchaos down' first" in output


def test_one_of_processes_is_not_brought_up_beside_it(standing: Stack) -> None:
    code, output = standing.run("up")
    assert code == 2
    assert "is here in containers" in output


# ---- from nothing, and back to it


def test_down_leaves_nothing_not_even_of_a_paused_container(client: Any, stack: Stack) -> None:
    stack.up("--docker")
    found = containers(client, stack)
    mounted = {mount.get("Name") for one in found.values() for mount in one.attrs["Mounts"]} - {
        None
    }
    assert mounted <= volumes(client)
    found["postgres"].pause()
    assert stack.run("down")[0] == 0
    assert left_of(client, stack) == []
    assert not mounted & volumes(client)
    assert stack.run("status")[0] == 3
    assert stack.run("down") == (0, "nothing was up\n")


def test_data_are_kept_for_the_next_up_if_asked(client: Any, stack: Stack) -> None:
    stack.up("--docker")
    with postgres(stack) as connection:
        connection.execute("CREATE TABLE mark ()")
    stack.run("down", "--keep-data")
    assert not [one.name for one in containers(client, stack).values() if one.status == "running"]
    stack.up("--docker")
    with postgres(stack) as connection:
        connection.execute("SELECT FROM mark")


@pytest.mark.parametrize(
    ("name", "number"), [("postgres", signal.SIGINT), ("service", signal.SIGTERM)]
)
def test_an_up_that_is_interrupted_takes_down_what_it_started(
    name: str, number: signal.Signals, client: Any, stack: Stack
) -> None:
    with stack.command("up", "--docker") as command:
        eventually(lambda: name in containers(client, stack))
        command.send_signal(number)
        output, _ = command.communicate()
        assert command.returncode != 0, output
    assert left_of(client, stack) == []


def test_an_up_that_is_killed_is_cleared_by_down(client: Any, stack: Stack) -> None:
    with stack.command("up", "--docker") as command:
        eventually(lambda: "redis" in containers(client, stack))
        command.kill()
    stack.run("down")
    assert left_of(client, stack) == []


# ---- what cannot be brought up is said, and nothing is left of it


def test_a_taken_port(client: Any, stack: Stack) -> None:
    with socket.create_server((HOST, stack.ports.redis_proxy)):
        code, output = stack.run("up", "--docker")
    assert code == 2
    assert f"port {stack.ports.redis_proxy} (redis proxy, PERFCHAOS_REDIS_PROXY_PORT)" in output
    assert left_of(client, stack) == []


def test_an_image_that_is_not_there(client: Any, stack: Stack) -> None:
    code, output = stack.run("up", "--docker", PERFCHAOS_REDIS_IMAGE="perfchaos-tests/none")
    assert code == 2
    assert "perfchaos-tests/none" in output
    assert "make up-docker" in output
    assert left_of(client, stack) == []


def test_a_service_that_does_not_start(client: Any, stack: Stack) -> None:
    code, output = stack.run("up", "--docker", DATABASE_POOL_SIZE="many")
    assert code == 2
    assert "DATABASE_POOL_SIZE must be a whole number" in output
    assert left_of(client, stack) == []


def test_no_engine(stack: Stack, tmp_path: Path) -> None:
    code, output = stack.run("up", "--docker", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert code == 2
    assert f"there is no container engine at unix://{tmp_path}/none.sock: start Docker" in output
    assert stack.leftovers() == []


# ---- either of the two compose commands


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder that is all of PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    return folder


def script(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


WITH_PLUGIN = '[ "$2" = version ] || { echo "plugin: $1" >&2; exit 9; }'
WITHOUT_PLUGIN = "echo no such command >&2; exit 1"


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({"docker": WITH_PLUGIN, "docker-compose": "exit 0"}, "'docker compose build' failed (pl"),
        (
            {"docker": WITHOUT_PLUGIN, "docker-compose": "echo alone >&2; exit 9"},
            "'docker-compose build' failed (alone)",
        ),
        ({"docker-compose": "echo alone >&2; exit 9"}, "'docker-compose build' failed (alone)"),
        ({"docker": WITHOUT_PLUGIN}, "neither 'docker compose' nor 'docker-compose'"),
    ],
)
def test_the_plugin_is_used_else_the_program_else_it_is_said(
    there: Mapping[str, str], said: str, programs: Path, stack: Stack
) -> None:
    for name, text in there.items():
        script(programs, name, text)
    code, output = stack.run("up", "--docker", PATH=f"{programs}{os.pathsep}/nowhere")
    assert code == 2
    assert said in output
