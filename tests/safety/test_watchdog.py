"""However a run dies, what it harmed is healed and its verdict says so."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from perfchaos.process_table import look_up
from perfchaos.safety.lease import lease_files
from perfchaos.safety.leftovers import heal_leftovers
from perfchaos.safety.watchdog import stop_file
from perfchaos.timeline import Timeline
from tests.lab import Lab
from tests.safety.driver import FAULTS, Orders

pytestmark = pytest.mark.usefixtures("state")


class Driven:
    """A driver under way."""

    def __init__(self, orders: Orders, process: "subprocess.Popen[str]") -> None:
        self.orders, self.process = orders, process
        words = self.next_line().split()
        assert words[0] == "protected", words
        self.watchdog_pid, self.workload_pid = int(words[1]), int(words[2])

    def next_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def in_force(self) -> None:
        line = self.next_line()
        assert line.startswith("in force"), line

    def verdict(self) -> dict[str, object]:
        text = (self.orders.run_directory / "verdict.json").read_text()
        found: dict[str, object] = json.loads(text)
        return found

    def events(self) -> list[str]:
        timeline = Timeline(self.orders.run_directory / "timeline.jsonl")
        return [event.name for event in timeline.events()]


@contextmanager
def driven(orders: Orders) -> Iterator[Driven]:
    with orders.start() as process:
        run = Driven(orders, process)
        try:
            yield run
        finally:
            process.kill()
            gone(run.watchdog_pid)


def eventually(what: Callable[[], bool], *, within_s: float = 15) -> bool:
    deadline_s = time.monotonic() + within_s
    while not what():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.01)
    return True


def gone(pid: int) -> bool:
    return eventually(lambda: look_up(pid) is None)


def orders(lab: Lab, tmp_path: Path, *faults: str) -> Orders:
    return Orders(lab=lab, run_directory=tmp_path / "run-1", faults=faults)


@pytest.mark.parametrize("kind", FAULTS)
def test_sigkill_leaves_no_fault_of_any_kind(lab: Lab, tmp_path: Path, kind: str) -> None:
    with driven(orders(lab, tmp_path, kind)) as run:
        run.in_force()
        assert lab.harmed() != []
        run.process.kill()
        assert gone(run.watchdog_pid)
        assert lab.harmed() == []
        assert lease_files() == ()
        verdict = run.verdict()
        assert verdict["status"] == "aborted"
        assert len(verdict["healed_by_watchdog"]) == 1  # type: ignore[arg-type]
        assert look_up(run.workload_pid) is None
        assert set(run.events()[-2:]) == {"fault healed", "fault back to normal"}


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT, signal.SIGSEGV])
def test_any_other_deadly_signal_is_no_different(
    lab: Lab, tmp_path: Path, number: signal.Signals
) -> None:
    with driven(orders(lab, tmp_path, "timeout")) as run:
        run.in_force()
        run.process.send_signal(number)
        assert gone(run.watchdog_pid)
        assert lab.harmed() == []
        assert run.verdict()["status"] == "aborted"


@pytest.mark.parametrize("numbers", [(signal.SIGTERM,), (signal.SIGINT, signal.SIGINT)])
def test_a_run_that_is_interrupted_heals_by_itself(
    lab: Lab, tmp_path: Path, numbers: tuple[signal.Signals, ...]
) -> None:
    with driven(orders(lab, tmp_path, "timeout")) as run:
        run.in_force()
        for number in numbers:
            run.process.send_signal(number)
        run.process.wait()
        assert gone(run.watchdog_pid)
        assert lab.harmed() == []
        assert lease_files() == ()


@pytest.mark.parametrize("blocking", [False, True])
def test_a_run_without_a_watchdog_ends_itself(lab: Lab, tmp_path: Path, blocking: bool) -> None:
    ordered = Orders(
        lab=lab, run_directory=tmp_path / "run-1", faults=("refused",), blocking=blocking
    )
    with driven(ordered) as run:
        run.in_force()
        os.kill(run.watchdog_pid, signal.SIGKILL)
        assert "the watchdog died" in run.next_line()
        assert lab.harmed() == []
        assert run.process.wait() == 0
        assert lease_files() == ()


def test_when_both_die_the_next_command_heals(lab: Lab, tmp_path: Path) -> None:
    with driven(orders(lab, tmp_path, "refused")) as run:
        run.in_force()
        os.kill(run.watchdog_pid, signal.SIGSTOP)
        run.process.kill()
        os.kill(run.watchdog_pid, signal.SIGKILL)
        run.process.wait()
        assert lab.harmed() == ["disabled"]
        (leftover,) = heal_leftovers(by="a test")
        assert [healed.lease.kind for healed in leftover.healed] == ["refused"]
        assert leftover.problems == ()
        assert lab.harmed() == []
        assert run.verdict()["status"] == "aborted"
        assert lease_files() == ()
        assert heal_leftovers(by="a test") == ()


@pytest.mark.parametrize("blocking", [False, True])
def test_a_stop_file_ends_a_run_even_in_a_blocking_action(
    lab: Lab, tmp_path: Path, blocking: bool
) -> None:
    ordered = Orders(
        lab=lab, run_directory=tmp_path / "run-1", faults=("timeout",), blocking=blocking
    )
    with driven(ordered) as run:
        run.in_force()
        stop_file(ordered.run_directory).write_text("the shop opens\n")
        assert "stopped: the shop opens" in run.next_line()
        assert lab.harmed() == []
        assert run.process.wait() == 0  # It was interrupted once, and not in its ending.


def test_a_run_that_does_not_end_when_told_is_healed_and_then_killed(
    lab: Lab, tmp_path: Path
) -> None:
    with driven(replace(orders(lab, tmp_path, "timeout"), blocking=True, deaf=True)) as run:
        run.in_force()
        stop_file(run.orders.run_directory).write_text("enough\n")
        assert run.process.wait(15) == -signal.SIGKILL
        assert gone(run.watchdog_pid)
        assert lab.harmed() == []
        assert run.verdict()["status"] == "aborted"
        assert run.verdict()["reasons"] == ["stopped: enough"]


def test_a_lease_that_runs_out_is_healed_while_the_run_lives(lab: Lab, tmp_path: Path) -> None:
    ordered = Orders(
        lab=lab, run_directory=tmp_path / "run-1", faults=("timeout",), lease_s=1.0, blocking=True
    )
    with driven(ordered) as run:
        run.in_force()
        assert "outlived its lease" in run.next_line()
        assert lab.harmed() == []


def test_a_watchdog_that_is_told_to_end_heals_first(lab: Lab, tmp_path: Path) -> None:
    with driven(orders(lab, tmp_path, "hang")) as run:
        run.in_force()
        os.kill(run.watchdog_pid, signal.SIGTERM)
        assert "the watchdog was told to end" in run.next_line()
        assert lab.harmed() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_watchdog_does_not_hear_the_terminal(
    lab: Lab, tmp_path: Path, number: signal.Signals
) -> None:
    with driven(orders(lab, tmp_path, "timeout")) as run:
        run.in_force()
        os.kill(run.watchdog_pid, number)
        run.process.kill()
        assert gone(run.watchdog_pid)
        assert lab.harmed() == []
        assert run.verdict()["status"] == "aborted"


def test_a_run_that_ends_well_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    ordered = Orders(
        lab=lab, run_directory=tmp_path / "run-1", faults=("timeout", "refused"), hold_s=0.05
    )
    with driven(ordered) as run:
        run.in_force()
        run.in_force()
        assert run.next_line() == "ended well"
        run.process.wait()
        assert gone(run.watchdog_pid)
        assert lease_files() == ()
        assert (ordered.run_directory / "leases.jsonl").exists()
        assert "run died" not in run.events()


def test_a_toxiproxy_that_hangs_is_restarted_by_the_watchdog(lab: Lab, tmp_path: Path) -> None:
    with driven(orders(lab, tmp_path, "timeout")) as run:
        run.in_force()
        toxiproxy = int(lab.toxiproxy_pid_file.read_text().split()[0])
        os.kill(toxiproxy, signal.SIGSTOP)
        run.process.kill()
        assert gone(run.watchdog_pid)
        assert look_up(toxiproxy) is None
        assert lab.harmed() == []
