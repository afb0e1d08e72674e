"""A stack of the tests' own: its own state, its own ports, gone at the end."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from perfchaos.places import cache_dir
from perfchaos.stack.ports import HOST, Ports
from tests.ports import free_ports

TIMEOUT_S = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack and the `perfchaos` command that works on it, in a process of its own."""

    state_dir: Path
    ports: Ports
    environment: Mapping[str, str]

    @property
    def home(self) -> Path:
        return self.state_dir / "stack"

    def pid_file(self, name: str) -> Path:
        return self.home / f"{name}.pid"

    def command(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", "from perfchaos.cli import main; main()", *arguments],
            env={**self.environment, **environment},
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Exit code and all that was printed."""
        with self.command(*arguments, **environment) as process:
            output, _ = process.communicate(timeout=TIMEOUT_S)
            return process.returncode, output

    def up(self, *arguments: str, **environment: str) -> str:
        code, output = self.run("up", *arguments, **environment)
        assert code == 0, output
        return output

    def leftovers(self) -> list[str]:
        """What is left of the stack: open ports and files besides the logs."""
        taken = [name for name, port in asdict(self.ports).items() if _open(port)]
        kept = {path.name for path in self.home.glob("*")} - {"logs", "lock"}
        return taken + sorted(kept)


def _open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def new_stack(state_dir: Path) -> Stack:
    names = list(asdict(Ports()))
    ports = Ports(**dict(zip(names, free_ports(len(names)), strict=True)))
    return Stack(
        state_dir=state_dir,
        ports=ports,
        environment={
            **os.environ,
            "PERFCHAOS_STATE_DIR": str(state_dir),
            "PERFCHAOS_CACHE_DIR": str(cache_dir()),
            **{f"PERFCHAOS_{name.upper()}_PORT": str(port) for name, port in asdict(ports).items()},
        },
    )


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack that is not up."""
    fresh = new_stack(tmp_path / "state")
    yield fresh
    if fresh.leftovers():
        fresh.run("down")


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that is up, for all tests of a module: they leave it as they found it."""
    fresh = new_stack(tmp_path_factory.mktemp("standing") / "state")
    fresh.up()
    yield fresh
    fresh.run("down")
