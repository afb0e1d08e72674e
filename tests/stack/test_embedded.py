"""Real servers that the real command has brought up, and what it does to a stack that stands."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from perfchaos import processes
from perfchaos.launches import read_environment_file
from tests.stack.clients import NAMES, family, postgres, redis, table_exists
from tests.stack.conftest import Stack


def pids(stack: Stack) -> dict[str, int]:
    found = {name: processes.running(stack.pid_file(name)) for name in NAMES}
    return {name: process.pid for name, process in found.items() if process}


def test_everything_is_up(standing: Stack) -> None:
    code, output = standing.run("status")
    assert code == 0
    assert [line.split()[:2] for line in output.splitlines()] == [
        [name, "running"] for name in NAMES
    ]


def test_redis_and_postgres_are_reached_through_the_proxy(standing: Stack) -> None:
    with redis(standing) as client:
        assert client.ping()
    assert table_exists(standing, "order_effects")


def test_up_again_changes_nothing(standing: Stack) -> None:
    before = pids(standing)
    assert standing.up().startswith("already up")
    assert pids(standing) == before


@pytest.mark.parametrize("name", ["toxiproxy", "worker"])
def test_up_starts_again_what_died(standing: Stack, name: str) -> None:
    before = pids(standing)
    processes.kill(standing.pid_file(name))
    assert standing.run("status")[0] == 1
    assert f"started {name}\n" in standing.up()
    changed = [other for other, pid in pids(standing).items() if pid != before[other]]
    assert changed == [name]


def test_up_starts_again_what_is_paused(standing: Stack) -> None:
    processes.pause(standing.pid_file("redis"))
    assert re.search(r"^redis +paused", standing.run("status")[1], re.MULTILINE)
    assert "started redis\n" in standing.up()


def test_another_profile_changes_the_service_and_the_worker_alone(standing: Stack) -> None:
    before = pids(standing)
    assert "started service, worker\n" in standing.up("--profile", "untuned")
    assert standing.up().startswith("already up")
    assert "started service, worker\n" in standing.up("--profile", "tuned")
    unchanged = ["postgres", "redis", "toxiproxy"]
    assert [pids(standing)[name] for name in unchanged] == [before[name] for name in unchanged]


def test_a_killed_postgres_comes_back_with_its_data(standing: Stack) -> None:
    with postgres(standing) as connection:
        connection.execute("CREATE TABLE kept ()")
    processes.kill(standing.pid_file("postgres"))
    processes.start_again(standing.pid_file("postgres"))
    standing.up()
    assert table_exists(standing, "kept")


@pytest.mark.parametrize("emptied", [True, False])
def test_a_killed_redis_comes_back_emptied_only_if_asked(standing: Stack, emptied: bool) -> None:
    with redis(standing) as client:
        client.set("kept", "1")
        client.config_set("appendfsync", "always")
        client.set("kept", "2")
    processes.kill(standing.pid_file("redis"))
    processes.start_again(standing.pid_file("redis"), emptied=emptied)
    standing.up()
    with redis(standing) as client:
        assert client.get("kept") == (None if emptied else b"2")


def test_other_ports_need_a_down_first(standing: Stack) -> None:
    code, output = standing.run("up", PERFCHAOS_SERVICE_PORT="20999")
    assert code == 2
    assert "'perfchaos down' first" in output


def test_no_secret_is_where_it_could_be_read(standing: Stack) -> None:
    secrets = read_environment_file(standing.home / "secrets.env").values()
    assert (standing.home / "secrets.env").stat().st_mode & 0o777 == 0o600
    private = {"secrets.env", "redis.conf"}
    texts = {
        path: path.read_text()
        for path in [*standing.home.glob("*.*"), *standing.home.glob("logs/*")]
        if path.is_file() and path.name not in private
    }
    assert standing.home / "target.yaml" in texts
    assert standing.home / "logs" / "postgres.log" in texts
    for pid in [member.pid for name in NAMES for member in family(standing, name)]:
        command = Path(f"/proc/{pid}/cmdline")
        if command.exists():
            texts[command] = command.read_text()
    assert [path for path, text in texts.items() if any(secret in text for secret in secrets)] == []


def test_servers_listen_on_the_loopback_alone(standing: Stack) -> None:
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    if not tables[0].exists():
        pytest.skip("only Linux lists its listeners")
    rows = [row.split() for table in tables for row in table.read_text().splitlines()[1:]]
    listening = {row[1] for row in rows if row[3] == "0A"}
    ours = {f"{port:04X}" for port in asdict(standing.ports).values()}
    addresses = {
        address for address, _, port in (row.partition(":") for row in listening) if port in ours
    }
    assert addresses == {"0100007F"}
