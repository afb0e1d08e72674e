"""
Locks on a target: one that a person puts there, and the claim of the run under way.

Both lie in the state directory, by the target's name. A claim dies with its process.
"""

import fcntl
import ipaddress
import json
import os
import re
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from perfchaos.errors import PerfchaosError
from perfchaos.places import state_dir
from perfchaos.safety.audit import who


class Locked(PerfchaosError):
    """The target must not be harmed now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Who locked a target, when, and why."""

    target: str
    why: str
    who: str
    at: str


class Claim:
    """One run's claim on a target and its Toxiproxy: no other run may begin while it is held."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        self._descriptors = descriptors

    def release(self) -> None:
        """Let other runs begin."""
        for descriptor in self._descriptors:
            os.close(descriptor)


def lock(target: str, *, why: str) -> Lock:
    """
    Refuse all runs on `target` from now on; the reason given first stays.

    Raises:
        Locked: it is locked already.
        PerfchaosError: the state directory cannot be written.

    """
    put = Lock(target=target, why=why, who=who(), at=_now())
    path = _path(target, "lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("x", encoding="utf-8") as file:
            json.dump(asdict(put), file)
    except FileExistsError:
        require_unlocked(target)
    except OSError as error:
        raise PerfchaosError(
            f"{path} cannot be written ({error.strerror})", next_step="make the folder writable"
        ) from None
    return put


def unlock(target: str) -> bool:
    """Allow runs on `target` again; whether it was locked."""
    path = _path(target, "lock")
    was_locked = path.exists()
    path.unlink(missing_ok=True)
    return was_locked


def require_unlocked(target: str) -> None:
    """
    See that nobody has locked `target`.

    Raises:
        Locked: somebody has; a lock file that cannot be read counts.

    """
    path = _path(target, "lock")
    try:
        put = Lock(**json.loads(path.read_text("utf-8")))
        by = f"by {put.who} at {put.at}: {put.why}"
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError):
        by = f"({path} cannot be read)"
    raise Locked(f"target {target!r} is locked {by}", next_step="'perfchaos unlock' allows runs")


def claim(target: str, *, run_id: str, toxiproxy_url: str | None = None) -> Claim:
    """
    Keep other runs off `target` until released, or until this process ends.

    So are runs on targets of any other name that go through the same Toxiproxy: their faults would
    be in each other's way.

    Raises:
        Locked: another run is under way on it.

    """
    held = [_held(_path(target, "run"), f"target {target!r}", run_id)]
    if toxiproxy_url is not None:
        path = _path(_server(toxiproxy_url), "toxiproxy")
        try:
            held.append(_held(path, f"the Toxiproxy at {toxiproxy_url}", run_id))
        except BaseException:
            os.close(held[0])
            raise
    return Claim(held)


def _server(url: str) -> str:
    """The same for every way to write one server's address."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = min(str(entry[4][0]) for entry in socket.getaddrinfo(host, port))
        host = "loopback" if ipaddress.ip_address(found).is_loopback else found
    except (OSError, ValueError):
        pass  # It has no address from here: its name must do.
    return f"{host}-{port}"


def _held(path: Path, what: str, run_id: str) -> int:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = os.read(descriptor, 200).decode(errors="replace").strip()
        os.close(descriptor)
        raise Locked(
            f"run {other} is under way on {what}",
            next_step="wait for it, or end it with 'perfchaos stop'",
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{run_id}\n".encode())
    return descriptor


def under_way(target: str) -> str | None:
    """The id of the run that has claimed `target`; None if none has. Changes nothing."""
    try:
        descriptor = os.open(_path(target, "run"), os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(descriptor, 200).decode(errors="replace").strip()
    finally:
        os.close(descriptor)
    return None


def _path(target: str, kind: str) -> Path:
    return state_dir() / "locks" / f"{re.sub(r'[^A-Za-z0-9_.-]', '-', target)}.{kind}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
