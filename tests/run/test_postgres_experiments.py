"""Postgres under `chaos run`: it crashes and comes back, or does not come back at all."""

from pathlib import Path
from typing import Any

from perfchaos import processes
from perfchaos.launches import Launch
from perfchaos.processes import running
from tests.run.conftest import Chaos
from tests.stack.conftest import Stack

# The recovery is asked of the baseline too, and takes five seconds to be called sustained.
SHORT: dict[str, Any] = {
    "rate_per_s": 100,
    "baseline_s": 6,
    "recovery_s": 20,
    "samples_min": 100,
}


def test_the_tuned_reference_recovers_from_a_crash_and_loses_nothing(
    tuned: Stack, tmp_path: Path
) -> None:
    ended = Chaos(stack=tuned, folder=tmp_path).run("postgres-crash.yaml", **SHORT)
    assert ended.exit_code == 0, ended.said
    recovery = ended.measured("recovery_time_s", "recovery")
    server = ended.measured("server_time_s", "recovery")
    assert 0 < ended.measured("first_write_s", "recovery")["value"] <= recovery["value"]
    assert 0 < server["value"] - server["evidence"]["resolution_s"] <= recovery["value"]
    assert recovery["evidence"]["failed_count"] > 0
    assert recovery["evidence"]["resolution_s"] > 0
    assert ended.verdict["ledger"]["lost"] == 0
    (fault,) = ended.verdict["faults"]
    assert (fault["kind"], fault["verified"]) == ("crash", True)


def test_a_postgres_that_others_started_and_a_service_without_health(
    tuned: Stack, tmp_path: Path
) -> None:
    chaos = Chaos(stack=tuned, folder=tmp_path)
    target = chaos.target
    its_own = _data_of(tuned) / "postmaster.pid"  # Nothing beside it says how it is started.
    target["postgres"]["control"] = f"process:{its_own}"
    del target["health"]
    try:
        ended = chaos.run("postgres-crash.yaml", target=target, **SHORT)
        assert ended.exit_code == 0, ended.said
        assert ended.verdict["ledger"]["lost"] == 0
        why = "target 'reference' has no health endpoint"
        assert ended.verdict["not_asked"] == [{"name": "healthy_while_failing_s", "why": why}]
        assert why in ended.said
        assert why in (ended.directory / "report.html").read_text().replace("&#39;", "'")
    finally:
        processes.kill(its_own)
        processes.start_again(tuned.pid_file("postgres"))


def test_a_postgres_that_does_not_come_back_fails_the_run_which_says_how_it_was_left(
    tuned: Stack, tmp_path: Path
) -> None:
    pid_file = tuned.pid_file("postgres")
    data = _data_of(tuned)
    control, aside = data / "global" / "pg_control", data / "global" / "pg_control.aside"
    chaos = Chaos(stack=tuned, folder=tmp_path)
    try:
        with chaos.start("postgres-crash.yaml", **SHORT, down_s=2) as process:
            server = running(pid_file)
            assert server is not None
            assert server.wait_gone(60)
            control.rename(aside)
            ended = chaos.ended(process)
        assert ended.exit_code == 1
        assert ended.verdict["status"] == "failed"
        said = " ".join(ended.verdict["reasons"])
        assert "did not come back: it ended while starting and is stopped" in said
        assert "its data are as the fault left them" in said
        assert aside.exists()
    finally:
        if aside.exists():
            aside.rename(control)
        processes.start_again(pid_file)
        tuned.run("heal")


def _data_of(stack: Stack) -> Path:
    argv = Launch.read(stack.pid_file("postgres")).argv
    return Path(argv[argv.index("-D") + 1])
