"""`chaos run` in a process of its own, against a reference system of the tests' own."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stack.conftest import Stack, new_stack
from tests.waiting import eventually

EXPERIMENTS = Path(__file__).parent.parent.parent / "experiments"
# Enough requests for every phase to be judged, and no more: several such systems share a machine.
SHORT = {
    "rate_per_s": 60,
    "warm_up_s": 0.5,
    "baseline_s": 2,
    "outage_s": 3,
    "recovery_s": 2,
    "settled_s": 1,
    "stalled_after_s": 1,
    "samples_min": 40,
}
TIMEOUT_S = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run ended: its exit code, all it said, and its verdict if it came to one."""

    exit_code: int
    said: str
    verdict: dict[str, Any]
    directory: Path

    def measured(self, name: str, phase: str | None = None) -> dict[str, Any]:
        """The measurement of that name and phase."""
        return next(
            measurement
            for measurement in self.verdict["measurements"]
            if (measurement["name"], measurement["phase"]) == (name, phase)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chaos:
    """Runs experiments in a folder of their own, against one stack."""

    stack: Stack
    folder: Path

    @property
    def target(self) -> dict[str, Any]:
        """The target file of the stack, to be changed and given back to `run`."""
        document: dict[str, Any] = yaml.safe_load((self.stack.home / "target.yaml").read_text())
        document["secrets_file"] = str(self.stack.home / "secrets.env")
        return document

    def experiment(self, name: str) -> dict[str, Any]:
        """An experiment that ships with the project, to be changed and given back to `run`."""
        document: dict[str, Any] = yaml.safe_load((EXPERIMENTS / name).read_text())
        return document

    def start(
        self,
        experiment: Mapping[str, Any] | str,
        *,
        target: Mapping[str, Any] | Path | None = None,
        **variables: float,
    ) -> "subprocess.Popen[str]":
        """A `chaos run` under way; `variables` override the short ones."""
        if isinstance(experiment, str):
            experiment = self.experiment(experiment)
        (self.folder / "experiment.yaml").write_text(yaml.safe_dump(dict(experiment)))
        environment = {**self.stack.environment, "PERFCHAOS_RUNS_DIR": str(self.folder / "runs")}
        if isinstance(target, Path):
            environment["PERFCHAOS_TARGET"] = str(target)
        elif target is not None:
            (self.folder / "target.yaml").write_text(yaml.safe_dump(dict(target)))
            environment["PERFCHAOS_TARGET"] = str(self.folder / "target.yaml")
        chosen = {
            name: value
            for name, value in (SHORT | variables).items()
            if name in experiment.get("configuration", {})
        }
        return subprocess.Popen(
            [
                *(str(Path(sys.executable).parent / "chaos"), "--no-version-check"),
                *("run", "experiment.yaml"),
                *(f"--var={name}:{_kind(value)}={value}" for name, value in chosen.items()),
            ],
            cwd=self.folder,
            env={**environment, "COLUMNS": "120"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(
        self,
        experiment: Mapping[str, Any] | str,
        *,
        target: Mapping[str, Any] | Path | None = None,
        **variables: float,
    ) -> Ended:
        """`chaos run` to its end."""
        with self.start(experiment, target=target, **variables) as process:
            return self.ended(process)

    def ended(self, process: "subprocess.Popen[str]") -> Ended:
        """Wait for a run that was started."""
        said, _ = process.communicate(timeout=TIMEOUT_S)
        directory = self.folder / "runs" / "latest"
        verdict = directory / "verdict.json"
        return Ended(
            exit_code=process.returncode,
            said=said,
            verdict=json.loads(verdict.read_text()) if verdict.exists() else {},
            directory=directory,
        )

    def leases(self) -> list[Path]:
        """The lease files that are still open."""
        return list((self.stack.state_dir / "leases").glob("*.jsonl"))


def await_event(chaos: Chaos, name: str) -> None:
    timeline = chaos.folder / "runs" / "latest" / "timeline.jsonl"
    eventually(lambda: timeline.exists() and f'"event": "{name}"' in timeline.read_text())


def _kind(value: float) -> str:
    return {int: "int", float: "float"}.get(type(value), "str")


@pytest.fixture(scope="package")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The tuned reference system, up."""
    yield from up(tmp_path_factory.mktemp("tuned"), "tuned")


def up(folder: Path, profile: str) -> Iterator[Stack]:
    """A reference system of the tests' own; down at the end."""
    stack = new_stack(folder / "state")
    stack.up("--profile", profile)
    yield stack
    stack.run("down")


@pytest.fixture
def chaos(tuned: Stack, tmp_path: Path) -> Iterator[Chaos]:
    """Runs against the tuned reference system; none leaves anything behind."""
    yield from tidy(tuned, tmp_path)


def tidy(stack: Stack, folder: Path) -> Iterator[Chaos]:
    """Runs against `stack` in `folder`; none leaves anything behind."""
    runner = Chaos(stack=stack, folder=folder)
    yield runner
    assert runner.leases() == []
    assert running_for(folder) == []


def running_for(folder: Path) -> list[str]:
    """The command lines of all processes that work in or for a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if str(folder) in command or (process / "cwd").readlink() == folder:
                found.append(command)
        except OSError:
            continue  # It ended meanwhile.
    return found
