"""What runs well is left alone, whatever shell asks and above all under a run."""

import os
from pathlib import Path

import pytest

from perfchaos import processes
from perfchaos.safety.locks import claim, under_way
from tests.stack.conftest import Stack

NAMES = ("postgres", "redis", "toxiproxy", "service", "worker")


def pids(stack: Stack) -> list[int | None]:
    running = [processes.running(stack.pid_file(name)) for name in NAMES]
    return [process.pid if process else None for process in running]


def test_another_shell_restarts_nothing(standing: Stack, tmp_path: Path) -> None:
    before = pids(standing)
    elsewhere = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", "HOME": "/"}
    assert "already up" in standing.up(**elsewhere)
    assert pids(standing) == before


def test_a_stack_under_a_run_is_left_alone(
    standing: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFCHAOS_STATE_DIR", str(standing.state_dir))
    before = pids(standing)
    held = claim("reference", run_id="20260101-000000-redis")
    try:
        assert under_way("reference") == "20260101-000000-redis"
        assert "already up" in standing.up()
        for refused in (("down",), ("up", "--profile", "untuned")):
            code, output = standing.run(*refused)
            assert code != 0
            assert "under run 20260101-000000-redis" in output
        assert pids(standing) == before
        processes.pause(standing.pid_file("redis"))
        code, output = standing.run("up")
        assert code != 0
        assert "redis would be started under run" in output
        assert pids(standing) == before
    finally:
        held.release()
        processes.resume(standing.pid_file("redis"))
    assert under_way("reference") is None


def test_up_heals_once_there_is_a_toxiproxy_to_heal_at(standing: Stack) -> None:
    lost = standing.state_dir / "leases"
    lost.mkdir(exist_ok=True)
    (lost / "dead.jsonl").write_text("this is no lease\n")
    processes.kill(standing.pid_file("toxiproxy"))
    try:
        code, output = standing.run("up")
        assert processes.running(standing.pid_file("toxiproxy")) is not None
        assert code == 1, output
    finally:
        (lost / "dead.jsonl").unlink(missing_ok=True)
