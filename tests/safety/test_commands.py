"""The commands a person types when something is wrong."""

import os
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from perfchaos.cli import main
from perfchaos.places import leases_dir
from perfchaos.safety import audit
from tests.lab import Lab
from tests.safety.driven import driven
from tests.safety.driver import Orders

pytestmark = pytest.mark.usefixtures("state")


def perfchaos(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_heal_has_nothing_to_do() -> None:
    told = perfchaos("heal")
    assert told.exit_code == 0
    assert told.output == f"nothing is harmed by any run whose leases lie in {leases_dir()}\n"


def test_heal_needs_no_target_file(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFCHAOS_TARGET", "/nowhere.yaml")
    orders = Orders(lab=lab, run_directory=tmp_path / "run-1", faults=("hang",))
    with driven(orders) as run:
        run.in_force()
        assert "run-1 is alive" in perfchaos("heal").output
        os.kill(run.watchdog_pid, signal.SIGKILL)
        run.process.kill()
        run.process.wait()
        assert lab.harmed() != []
        result = perfchaos("heal")
        assert (result.exit_code, result.output) == (0, "run-1: healed redis 'hang'\n")
        assert lab.harmed() == []


def test_any_other_command_heals_first(lab: Lab, tmp_path: Path) -> None:
    orders = Orders(lab=lab, run_directory=tmp_path / "run-1", faults=("refused",))
    with driven(orders) as run:
        run.in_force()
        os.kill(run.watchdog_pid, signal.SIGKILL)
        run.process.kill()
        run.process.wait()
        assert perfchaos("audit", "verify").stderr == "run-1: healed redis 'refused'\n"
        assert lab.harmed() == []


def test_stop_heals_and_ends_the_run(lab: Lab, tmp_path: Path) -> None:
    assert perfchaos("stop").output == "no run is under way\n"
    orders = Orders(lab=lab, run_directory=tmp_path / "run-1", faults=("timeout",))
    with driven(orders) as run:
        run.in_force()
        result = perfchaos("stop", "--why", "the shop opens")
        assert (result.exit_code, result.output) == (0, "run-1: stopped\n")
        assert lab.harmed() == []
        assert "stopped: the shop opens" in run.next_line()
        assert run.process.wait(60) == 0
    assert [entry.event for entry in audit.entries()][-1] in ("stopped", "run ended")


def test_stop_heals_by_itself_where_the_watchdog_does_not(lab: Lab, tmp_path: Path) -> None:
    orders = Orders(lab=lab, run_directory=tmp_path / "run-1", faults=("refused",))
    with driven(orders) as run:
        run.in_force()
        os.kill(run.watchdog_pid, signal.SIGSTOP)
        result = perfchaos("stop")
        os.kill(run.watchdog_pid, signal.SIGCONT)
        assert result.exit_code == 0
        assert "run-1: does not stop" in result.output
        assert lab.harmed() == []


def test_lock_and_unlock() -> None:
    assert perfchaos("lock", "--target", "acme", "--why", "release").exit_code == 0
    again = perfchaos("lock", "--target", "acme", "--why", "again")
    assert again.exit_code == 2
    assert "locked by" in again.output
    assert perfchaos("lock", "--target", "acme").exit_code == 2
    assert perfchaos("unlock", "--target", "acme").output == "target 'acme' is unlocked\n"
    assert perfchaos("unlock", "--target", "acme").output == "target 'acme' was not locked\n"
    assert [entry.event for entry in audit.entries()] == ["locked", "unlocked"]


def test_audit_shows_and_verifies() -> None:
    audit.record("run ended", run="run-1", verdict="completed good")
    assert "run ended run=run-1 verdict=completed good" in perfchaos("audit", "show").output
    assert perfchaos("audit", "verify").output.startswith("1 entries, unbroken; head ")
    audit.log_file().write_text("{}\n")
    broken = perfchaos("audit", "verify")
    assert (broken.exit_code, "line 1" in broken.output) == (1, True)
