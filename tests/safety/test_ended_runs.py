"""A run that is told to end does so in good order, whoever tells it, and leaves no harm."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from perfchaos.safety.lease import lease_files
from perfchaos.safety.watchdog import stop_file
from tests.lab import Lab
from tests.safety.driven import driven, gone, orders
from tests.safety.driver import Orders

pytestmark = pytest.mark.usefixtures("state")


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
