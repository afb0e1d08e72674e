"""The stack's own directory: one command at a time, its secrets, nothing left half done."""

import contextlib
import fcntl
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from perfchaos.errors import PerfchaosError
from perfchaos.launches import write_private
from perfchaos.places import state_dir
from perfchaos.stack.server import secrets_file

_SECRET_NAMES = ("WEBHOOK_SECRET", "POSTGRES_PASSWORD", "REDIS_PASSWORD")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

type Tell = Callable[[str], None]


def stack_dir() -> Path:
    """Where the stack keeps all it has."""
    return state_dir() / "stack"


def ensure_secrets(home: Path) -> None:
    """Draw the stack's secrets, unless it has some."""
    path = secrets_file(home)
    if not path.exists():
        write_private(
            path, "".join(f"{name}={secrets.token_urlsafe(32)}\n" for name in _SECRET_NAMES)
        )


def require_unused(used_by: str | None, what: str) -> None:
    """Raises PerfchaosError if a run uses the stack: it would blame the target for `what`."""
    if used_by is not None:
        raise PerfchaosError(
            f"{what} under run {used_by}, which is under way",
            next_step="wait for it, or end it with 'perfchaos stop'",
        )


@contextlib.contextmanager
def alone(tell: Tell) -> Iterator[Path]:
    """The stack's directory, for one command at a time."""
    home = stack_dir()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("another perfchaos command is at work on the stack: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield home


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Taking down is not to be cut short by another Ctrl-C: signals wait until it is done."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
