"""A run that is killed leaves no container harmed: its watchdog heals what it can no longer."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from perfchaos.faults.witness import Fate, Symptom, Witness
from perfchaos.safety import lease_files
from tests.docker.conftest import RedisInContainer
from tests.docker.test_container_faults import FAULTS

# Rounds of all faults: more of them for the figures in docs/reliability.md.
ROUNDS = int(os.environ.get("PERFCHAOS_KILL_ROUNDS", "1"))


@pytest.mark.parametrize("round_number", range(ROUNDS))
@pytest.mark.parametrize("name", FAULTS)
def test_a_killed_run_is_healed(
    name: str,
    round_number: int,
    redis: RedisInContainer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PERFCHAOS_STATE_DIR", str(tmp_path / "state"))
    directory = tmp_path / f"run-{round_number}"
    directory.mkdir()
    about = (name, str(directory), redis.id, redis.name, redis.label, str(redis.port))
    with subprocess.Popen(
        [sys.executable, "-m", "tests.docker.run_to_kill", *about],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "in force\n"
        killed_ns = time.monotonic_ns()
        run.kill()
    route = redis.of.route
    assert route is not None
    with Witness(Symptom(route=route, fates=(Fate.SILENT,)), healthy=False) as witness:
        sighting = witness.sees_normal(since_ns=killed_ns, within_s=20)
    assert sighting is not None, "it was never healed"
    print(f"{name}: healed {(sighting.at_ns - killed_ns) / 1e6:.0f} ms after the kill")
    while (
        lease_files() or json.loads((directory / "verdict.json").read_text())["status"] != "aborted"
    ):
        assert time.monotonic_ns() - killed_ns < 20e9, "its lease was never closed"
        time.sleep(0.02)
