"""A secret stays in the environment."""

from dataclasses import replace
from pathlib import Path

import pytest

from perfchaos import processes
from perfchaos.faults import NotHealed, Toxic
from perfchaos.safety import SafetyNet, audit, inject
from perfchaos.safety.watched import watch_over
from tests.lab import Lab

CANARY = "canary-1b0c7d52"


def test_a_token_is_in_nothing_that_safety_leaves(
    lab: Lab, net: SafetyNet, tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_TOKEN", CANARY)
    address = replace(lab.address, token_env="THE_TOKEN", control=None)
    fault = Toxic(
        on=replace(lab.proxied, toxiproxy=address), type="timeout", attributes={"timeout": 0}
    )
    run_directory = tmp_path / "run-1"
    watched = watch_over(net, run_directory=run_directory)
    watched.wait_ready()
    command_line = Path(f"/proc/{watched.watchdog_pid}/cmdline").read_bytes()
    with inject(fault, net, at_most_s=30):
        leases = net.leases.path.read_text()
    with pytest.raises(NotHealed) as failure:
        fail_to_heal(lab, fault, net)
    lab.make_whole()
    watched.part(verdict="unknown")
    audit.record("test")
    texts = [leases, str(failure.value), repr(failure.value.__cause__), command_line.decode()]
    files = [path for path in [*tmp_path.rglob("*"), *state.rglob("*")] if path.is_file()]
    texts += [path.read_text(errors="replace") for path in files]
    assert len(files) > 3
    assert "THE_TOKEN" in leases
    assert not [text for text in texts if CANARY in text]


def fail_to_heal(lab: Lab, fault: Toxic, net: SafetyNet) -> None:
    with inject(fault, net, at_most_s=30):
        processes.kill(lab.toxiproxy_pid_file)
