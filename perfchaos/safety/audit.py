"""
The audit log: who did what to what, when, and with which verdict.

`audit.jsonl` in the state directory is only ever appended to. Every line holds the SHA-256 of the
line before it, and `audit.head` the number and hash of the last, so that a changed, removed or
inserted line shows, and one cut off at the end as well. It protects against accidents and quiet
edits, not against somebody who rewrites both files: note the head elsewhere if that matters.
"""

import fcntl
import getpass
import hashlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from perfchaos.errors import PerfchaosError
from perfchaos.places import state_dir

_GENESIS = "0" * 64
_COMMON = ("number", "at", "who", "host", "event")

type Fact = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the log."""

    number: int
    at: str
    who: str
    host: str
    event: str
    facts: Mapping[str, Fact]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What became of a look at the whole log; `head` is the last line's hash."""

    count: int
    head: str
    flaw: str | None


def record(event: str, **facts: Fact) -> None:
    """
    Append one entry.

    Raises:
        PerfchaosError: the log cannot be written.

    """
    try:
        with _locked() as log:
            number, previous, torn = _where_to_go_on(log)
            entry = {
                "number": number,
                "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "who": who(),
                "host": socket.gethostname(),
                "event": event,
                **facts,
                "previous": previous,
            }
            line = json.dumps(entry).encode()
            os.write(log, (b"\n" if torn else b"") + line + b"\n")
            os.fsync(log)
            _head_file().write_text(f"{number} {_hash(line)}\n", encoding="ascii")
    except (OSError, ValueError, KeyError) as error:
        raise PerfchaosError(
            f"the audit log {log_file()} cannot be written ({error})",
            next_step="free space or make the folder writable; 'perfchaos audit verify' checks it",
        ) from None


def entries() -> Iterator[Entry]:
    """Every entry, the oldest first; lines that are none of ours are left to `verify`."""
    for line in _lines():
        fields = _fields(line)
        if fields is None:
            continue
        fields.pop("previous", None)
        common = {key: fields.pop(key) for key in _COMMON}
        yield Entry(**common, facts=fields)


def verify() -> Verified:
    """Follow the chain from the first line to the head."""
    previous, count = _GENESIS, 0
    for count, line in enumerate(_lines(), start=1):
        flaw = _flaw(line, count, previous)
        if flaw is not None:
            return Verified(count=count, head=previous, flaw=f"line {count} {flaw}")
        previous = _hash(line)
    noted = _head_file().read_text("ascii").split() if _head_file().exists() else ["0", _GENESIS]
    flaw = None
    if noted != [str(count), previous]:
        flaw = f"the log ends at line {count}, but {noted[0]} were written"
    return Verified(count=count, head=previous, flaw=flaw)


def who() -> str:
    """The user's name, or their number where the system has no name for it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def log_file() -> Path:
    """Where the log lies."""
    return state_dir() / "audit.jsonl"


def _flaw(line: bytes, number: int, previous: str) -> str | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return "is not JSON"
    if not isinstance(entry, dict):
        return "is no entry"
    if entry.get("number") != number:
        return f"has the number {entry.get('number')}"
    if entry.get("previous") != previous:
        return "does not follow from the line before it"
    return None


def _lines() -> list[bytes]:
    return log_file().read_bytes().splitlines() if log_file().exists() else []


def _where_to_go_on(log: int) -> tuple[int, str, bool]:
    """
    The next entry's number, the hash it follows, and whether the last line was torn.

    A last line that is torn, or foreign, must not block every run from now on: the chain goes on
    from it as it stands, and `verify` names it.
    """
    size = os.fstat(log).st_size
    text = os.pread(log, size, 0)
    lines = text.splitlines()
    if not lines:
        return 1, _GENESIS, False
    return len(lines) + 1, _hash(lines[-1]), not text.endswith(b"\n")


def _fields(line: bytes) -> dict[str, Any] | None:
    """A line of ours; None for any other."""
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) and set(_COMMON) <= set(fields) else None


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _head_file() -> Path:
    return state_dir() / "audit.head"


@contextmanager
def _locked() -> Iterator[int]:
    log_file().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = os.open(log_file(), os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        fcntl.flock(log, fcntl.LOCK_EX)
        yield log
    finally:
        os.close(log)
