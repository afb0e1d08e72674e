"""A run that is broken off says so, and leaves neither a fault nor a process behind."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.run.conftest import Chaos, await_event, running_for
from tests.waiting import eventually


def pids(folder: Path, module: str) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if module in command and str(folder) in command:
            found.append(int(process.name))
    return found


@pytest.mark.parametrize(
    "numbers",
    [
        (signal.SIGKILL,),
        (signal.SIGTERM,),
        (signal.SIGINT,),
        (signal.SIGHUP,),
        (signal.SIGTERM, signal.SIGINT),
    ],
)
def test_a_run_that_is_killed_is_healed_and_aborted(
    chaos: Chaos, numbers: tuple[signal.Signals, ...]
) -> None:
    with chaos.start("redis-timeout.yaml", outage_s=30) as process:
        await_event(chaos, "fault in force")
        for number in numbers:
            process.send_signal(number)
        process.communicate(timeout=60)
    await_event(chaos, "fault back to normal")
    eventually(lambda: not running_for(chaos.folder))
    verdict = json.loads((chaos.folder / "runs" / "latest" / "verdict.json").read_text())
    assert process.returncode != 0
    assert verdict["status"] == "aborted"
    assert verdict["exit_code"] == 1


def test_a_rollback_that_fails_too_does_not_hide_that_the_run_was_interrupted(
    chaos: Chaos,
) -> None:
    experiment = chaos.experiment("redis-timeout.yaml")
    nothing_there = str(chaos.folder / "nothing")
    provider = {
        "type": "python",
        "module": "os",
        "func": "remove",
        "arguments": {"path": nothing_there},
    }
    experiment["rollbacks"].append({"name": "tidy up", "type": "action", "provider": provider})
    with chaos.start(experiment, outage_s=30) as process:
        await_event(chaos, "fault in force")
        process.send_signal(signal.SIGINT)
        ended = chaos.ended(process)
    assert ended.verdict["status"] == "aborted"
    assert any("tidy up" in reason for reason in ended.verdict["reasons"])


def test_the_workload_process_dies(chaos: Chaos) -> None:
    with chaos.start("redis-timeout.yaml", outage_s=30) as process:
        await_event(chaos, "fault in force")
        (workload,) = pids(chaos.folder, "perfchaos.workload")
        os.kill(workload, signal.SIGKILL)
        ended = chaos.ended(process)
    assert ended.exit_code == 1
    assert ended.verdict["status"] == "failed"
    assert "the load generator died" in " ".join(ended.verdict["reasons"])
    (fault,) = ended.verdict["faults"]
    assert fault["healed_at_s"] is not None
