"""However a run dies, what it harmed is healed and its verdict says so."""

import os
import signal
from pathlib import Path

import pytest

from perfchaos.process_table import look_up
from perfchaos.safety.lease import lease_files
from perfchaos.safety.leftovers import heal_leftovers
from tests.lab import Lab
from tests.safety.driven import driven, gone, orders
from tests.safety.driver import FAULTS

pytestmark = pytest.mark.usefixtures("state")


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


def test_a_toxiproxy_that_hangs_is_restarted_by_the_watchdog(lab: Lab, tmp_path: Path) -> None:
    with driven(orders(lab, tmp_path, "timeout")) as run:
        run.in_force()
        toxiproxy = int(lab.toxiproxy_pid_file.read_text().split()[0])
        os.kill(toxiproxy, signal.SIGSTOP)
        run.process.kill()
        assert gone(run.watchdog_pid)
        assert look_up(toxiproxy) is None
        assert lab.harmed() == []
