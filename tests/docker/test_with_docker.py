"""`scripts/with-docker.sh`: an engine of its own lasts as long as the command, and no longer."""

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.waiting import eventually

SCRIPT = Path(__file__).parents[2] / "scripts" / "with-docker.sh"
# Stand-ins: an engine answers while its socket is there, and notes that it began and ended.
PROGRAMS = {
    "docker": '[ "$1" = compose ] || [ -e "${DOCKER_HOST#unix://}" ]',
    "dockerd": """
        while [ "$1" != --host ]; do [ "$1" != --pidfile ] || echo $$ >"$2"; shift; done
        socket=${2#unix://}
        trap 'rm "$socket"; echo ended >>"$NOTES"; exit' TERM
        echo began >>"$NOTES"
        touch "$socket"
        while :; do sleep 0.02; done""",
    "iptables": "",
    "debootstrap": "",
    "id": "echo 0",
}
LISTENS = "trap 'echo heard >>$NOTES; exit' TERM; echo at work; while :; do sleep 0.02; done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine of stand-ins."""

    folder: Path

    @property
    def notes(self) -> list[str]:
        return (self.folder / "notes").read_text().split()

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "PATH": f"{self.folder}{os.pathsep}/usr/bin{os.pathsep}/bin",
            "NOTES": str(self.folder / "notes"),
            "PERFCHAOS_CACHE_DIR": str(self.folder / "cache"),
            "DOCKER_HOST": f"unix://{self.folder}/none.sock",
        }

    def install(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def start(self, command: str, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["/bin/bash", str(SCRIPT), "/bin/bash", "-c", command],
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command: str, **environment: str) -> tuple[int, str, str]:
        with self.start(command, **environment) as process:
            said, errors = process.communicate(timeout=60)
            return process.returncode, said, errors


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One on which no engine runs."""
    machine = Machine(folder=tmp_path)
    (tmp_path / "notes").touch()
    for name, text in PROGRAMS.items():
        machine.install(name, text)
    return machine


def test_the_engine_ends_after_the_command_whose_exit_code_is_passed_on(machine: Machine) -> None:
    code, said, _ = machine.run('echo "$DOCKER_HOST"; echo worked >>"$NOTES"; exit 7')
    assert code == 7
    assert machine.notes == ["began", "worked", "ended"]
    assert not Path(said.strip().removeprefix("unix://")).parent.exists()


def test_an_engine_that_is_there_is_used_and_left_alone(machine: Machine) -> None:
    (machine.folder / "here.sock").touch()
    here = f"unix://{machine.folder}/here.sock"
    assert machine.run('echo "$DOCKER_HOST"', DOCKER_HOST=here) == (0, f"{here}\n", "")
    assert machine.notes == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_command_while_its_engine_is_there(
    number: signal.Signals, machine: Machine
) -> None:
    with machine.start(LISTENS) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert machine.notes == ["began", "heard", "ended"]


def test_an_engine_whose_script_is_killed_ends_as_well(machine: Machine) -> None:
    with machine.start('echo "$DOCKER_HOST"; exec sleep 1') as process:
        assert process.stdout is not None
        place = Path(process.stdout.readline().strip().removeprefix("unix://")).parent
        process.kill()
    eventually(lambda: machine.notes == ["began", "ended"])
    place.rmdir()  # Nobody was left to do it.


def test_there_is_one_engine_at_a_time(machine: Machine) -> None:
    with machine.start(LISTENS) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "at work\n"
        with machine.start('echo worked >>"$NOTES"') as second:
            assert second.stderr is not None
            assert "waiting for its end" in second.stderr.readline()
            first.terminate()
            assert second.wait(60) == 0
    assert machine.notes == ["began", "heard", "ended", "began", "worked", "ended"]


def test_an_engine_that_does_not_start_is_told_with_its_last_words(machine: Machine) -> None:
    machine.install("dockerd", "echo no room for me; exit 1")
    code, _, errors = machine.run("exit 0")
    assert code == 1
    assert "the engine ended: no room for me" in errors


def test_without_root_there_is_no_engine_of_ours(machine: Machine) -> None:
    machine.install("id", "echo 1000")
    code, _, errors = machine.run("exit 0")
    assert code == 1
    assert "there is no container engine (docker info), and installing one takes root" in errors


def test_what_cannot_be_installed_is_named(machine: Machine) -> None:
    (machine.folder / "debootstrap").unlink()
    machine.install("apt-get", 'case "$*" in *install*) echo no such package >&2; exit 100;; esac')
    code, _, errors = machine.run("exit 0", PATH=f"{machine.folder}{os.pathsep}/nowhere")
    assert code == 1
    assert "debootstrap" in errors
    assert "no such package" in errors
