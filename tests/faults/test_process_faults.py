"""Servers paused and ended, and only the one that was meant."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from perfchaos import processes
from perfchaos.errors import PerfchaosError
from perfchaos.faults import Controlled, EndedProcess, PausedProcess, Route
from perfchaos.faults.mechanisms import from_document, to_document
from perfchaos.process_table import look_up
from tests.lab import HOST, Lab


def set_key(lab: Lab, value: bytes) -> None:
    ask(lab, b"SET kept " + value + b"\r\n")
    ask(lab, b"SAVE\r\n")


def ask(lab: Lab, command: bytes) -> bytes:
    with socket.create_connection((HOST, lab.redis_port), timeout=5) as connection:
        connection.sendall(command)
        return connection.recv(1000)


def test_a_paused_server_is_resumed_by_the_undo_alone(lab: Lab) -> None:
    fault = PausedProcess(of=lab.controlled)
    undo = fault.prepare("run")
    fault.harm(undo)
    assert lab.controlled.process().paused()
    replayed = from_document(to_document(undo))
    replayed.replay()
    replayed.replay()
    assert not lab.controlled.process().paused()


def test_a_server_that_was_paused_before_is_left_alone(lab: Lab) -> None:
    processes.pause(lab.redis_pid_file)
    with pytest.raises(PerfchaosError, match="is paused already"):
        PausedProcess(of=lab.controlled).prepare("run")
    with pytest.raises(PerfchaosError, match="is paused"):
        EndedProcess(of=lab.controlled, abruptly=True).prepare("run")
    assert lab.controlled.process().paused()


@pytest.mark.parametrize("abruptly", [True, False])
def test_an_ended_server_is_started_by_the_undo_alone(lab: Lab, abruptly: bool) -> None:
    before = lab.controlled.process()
    fault = EndedProcess(of=lab.controlled, abruptly=abruptly)
    undo = fault.prepare("run")
    fault.harm(undo)
    assert processes.running(lab.redis_pid_file) is None
    replayed = from_document(to_document(undo))
    replayed.replay()
    started = lab.controlled.process()
    replayed.replay()
    assert lab.controlled.process() == started != before


def test_a_server_that_does_not_run_is_not_harmed(lab: Lab) -> None:
    processes.kill(lab.redis_pid_file)
    for fault in (
        PausedProcess(of=lab.controlled),
        EndedProcess(of=lab.controlled, abruptly=True),
    ):
        with pytest.raises(PerfchaosError, match="redis is not running"):
            fault.prepare("run")


def test_a_server_nobody_can_start_again_is_not_ended(tmp_path: Path) -> None:
    # As Redis does: it shows its name and its address, and nothing of its arguments.
    shown = ["redis-server *:6379", "-c", "input()"]
    with (
        socket.create_server((HOST, 0)) as listener,
        subprocess.Popen(
            shown,
            executable=sys.executable,
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        ) as bystander,
    ):
        pid_file = tmp_path / "service.pid"
        pid_file.write_text(f"{bystander.pid}\n")
        route = Route(protocol="tcp", host=HOST, port=listener.getsockname()[1])
        service = Controlled(dependency="redis", pid_file=str(pid_file), route=route)
        with pytest.raises(PerfchaosError, match="does not show what it was started with"):
            EndedProcess(of=service, abruptly=True).prepare("run")
        assert bystander.poll() is None
        bystander.kill()


def test_a_recycled_pid_is_never_signalled(lab: Lab) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        # The pid file says "started at another time", as after the pid went round.
        text = lab.redis_pid_file.read_text()
        lab.redis_pid_file.write_text(f"{bystander.pid}\n{text.splitlines()[1]}\n")
        try:
            with pytest.raises(PerfchaosError, match="redis is not running"):
                PausedProcess(of=lab.controlled).prepare("run")
        finally:
            lab.redis_pid_file.write_text(text)
        undo = PausedProcess(of=lab.controlled).prepare("run")
        recycled = from_document({**to_document(undo), "pid": bystander.pid})
        os.kill(bystander.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, bystander.pid, os.WSTOPPED)
        recycled.replay()  # Another process by its start time: it must stay as it is.
        entry = look_up(bystander.pid)
        assert entry is not None
        assert entry.paused
        os.kill(bystander.pid, signal.SIGCONT)
        bystander.kill()


def test_a_kill_that_was_interrupted_is_undone(lab: Lab) -> None:
    before = lab.controlled.process()
    undo = EndedProcess(of=lab.controlled, abruptly=True).prepare("run")
    processes.pause(lab.redis_pid_file)  # As far as the kill had come.
    undo.replay()
    assert lab.controlled.process() == before
    assert not before.paused()


@pytest.mark.parametrize(("emptied", "reply"), [(False, b"$5\r\nvalue\r\n"), (True, b"$-1\r\n")])
def test_it_comes_back_with_its_data_or_emptied(lab: Lab, emptied: bool, reply: bytes) -> None:
    set_key(lab, b"value")
    fault = EndedProcess(of=lab.controlled, abruptly=True, emptied=emptied)
    undo = fault.prepare("run")
    fault.harm(undo)
    undo.replay()
    assert answered_in_time(lab) == reply


def answered_in_time(lab: Lab) -> bytes:
    deadline_s = time.monotonic() + 15
    while time.monotonic() < deadline_s:
        try:
            if not (answer := ask(lab, b"GET kept\r\n")).startswith(b"-LOADING"):
                return answer
        except OSError:
            continue
    raise AssertionError("redis does not come back")
