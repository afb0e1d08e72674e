"""One server of the stack, whatever it is."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from perfchaos.launches import Launch

# What of the environment of `perfchaos up` the servers see.
TAKEN_OVER = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """
    A server: what starts it, what it needs before, how to see that it works.

    `listens` names its ports, fields of `Ports`. `prepare` writes its configuration and creates its
    data where there are none yet. `problem` asks it for real work and says what is wrong, None if
    nothing is; it may take a second, and never raises for what the server does.
    """

    name: str
    listens: tuple[str, ...]
    launch: Launch
    prepare: Callable[[], None]
    problem: Callable[[], str | None]

    def pid_file(self, stack_dir: Path) -> Path:
        """Where its pid is noted."""
        return stack_dir / f"{self.name}.pid"


def base_environment() -> dict[str, str]:
    """The few variables every server gets."""
    return {name: os.environ[name] for name in TAKEN_OVER if name in os.environ}


def log_file(stack_dir: Path, name: str) -> str:
    """Where a server's output goes."""
    return str(stack_dir / "logs" / f"{name}.log")


def secrets_file(stack_dir: Path) -> Path:
    """Where the stack's secrets are, for nobody but its owner to read."""
    return stack_dir / "secrets.env"
