"""
Leases: what is harmed, until when at most, and how it is undone, on disk before the harm.

One file a run, `leases/<run id>.jsonl` in the state directory, so that the next command finds it
from any folder. Every line is JSON with a checksum, appended in one write and synced. The kinds:

    run     the run: its id, its process, its folder
    opened  a lease, written before the harm
    done    the harm call has returned, so that nothing of it is still on its way
    doubt   nobody is doing the harm any more, yet it may still come, until then
    closed  the lease is healed, by whom and when

A line that is torn or damaged is reported and skipped: the harm that a torn `opened` was written
for has never begun.
"""

import errno
import fcntl
import json
import os
import shutil
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from perfchaos.errors import PerfchaosError
from perfchaos.faults import mechanisms
from perfchaos.faults.fault import Undo
from perfchaos.faults.witness import Route, Symptom
from perfchaos.places import leases_dir
from perfchaos.processes import Process

type Document = Mapping[str, Any]

# A dead healer has let go of its claim; one that hangs is overtaken: healing twice is harmless.
_CLAIM_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """
    The latest moment a fault may last to, indifferent to the clock being set.

    `boot_ns` counts within one boot of the machine, and through its suspends; after a reboot every
    deadline has passed.
    """

    boot_ns: int
    boot: str

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """That many seconds from now."""
        return cls(boot_ns=_boot_ns() + round(seconds * 1e9), boot=boot_id())

    def left_s(self) -> float:
        """Seconds to go; not above zero once it has passed."""
        if self.boot != boot_id():
            return 0.0
        return (self.boot_ns - _boot_ns()) / 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """
    One fault under its deadline.

    `symptom` says how to see on the data plane that it is gone; None where it cannot be seen there.
    `done` is False while the harm may still be on its way to a server. `doubt` is how long it may
    be, from when its maker has been known to be gone; None before.
    """

    id: str
    kind: str
    dependency: str
    undo: Undo
    symptom: Symptom | None
    deadline: Deadline
    done: bool = False
    doubt: Deadline | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """The run that holds the leases: its process tells whether it is still alive."""

    run_id: str
    process: Process
    run_directory: Path
    target: str

    def alive(self) -> bool:
        """Whether the run's process is there."""
        return self.process.alive()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """A lease file as read: `damaged` are the numbers of the lines that make no sense."""

    run: RunRecord | None
    open: tuple[Lease, ...]
    damaged: tuple[int, ...]


class LeaseFile:
    """
    The leases of one run. Two processes may append to it, the run and whoever heals for it.

    Writing raises PerfchaosError when the disk is full or the directory cannot be written: then
    nothing may be harmed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, run: RunRecord) -> "LeaseFile":
        """Begin the lease file of a run."""
        leases = cls(leases_dir() / f"{run.run_id}.jsonl")
        try:
            leases.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            leases.path.touch(mode=0o600)
            directory = os.open(leases.path.parent, os.O_RDONLY)
        except OSError as error:
            raise _unwritable(leases.path, error) from None
        try:
            leases._append("run", asdict(run) | {"run_directory": str(run.run_directory)})
            os.fsync(directory)
        finally:
            os.close(directory)
        return leases

    def open(self, lease: Lease) -> None:
        """Write a lease down. Only then may the harm begin."""
        self._append(
            "opened",
            {
                "lease": lease.id,
                "kind": lease.kind,
                "dependency": lease.dependency,
                "undo": mechanisms.to_document(lease.undo),
                "symptom": asdict(lease.symptom) if lease.symptom else None,
                "deadline": asdict(lease.deadline),
            },
        )

    def done(self, lease: Lease) -> None:
        """Note that the harm call has returned."""
        self._append("done", {"lease": lease.id})

    def doubt(self, lease: Lease) -> Deadline:
        """Note that whoever did the harm is gone or has given up: what may come, comes by then."""
        deadline = lease.doubt or Deadline.after(lease.undo.lands_within_s)
        if lease.doubt is None:
            self._append("doubt", {"lease": lease.id, "until": asdict(deadline)})
        return deadline

    def close(self, lease: Lease, *, by: str) -> None:
        """Note that a lease is healed."""
        self._append("closed", {"lease": lease.id, "by": by})

    def read(self) -> Contents:
        """
        What the file says now. One that is gone was retired, and has no open leases.

        Raises PerfchaosError if it cannot be read.
        """
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return Contents(run=None, open=(), damaged=())
        except OSError as error:
            raise PerfchaosError(
                f"the lease file {self.path} cannot be read ({error.strerror})",
                next_step="make it readable and run 'perfchaos heal'",
            ) from None
        run: RunRecord | None = None
        leases: dict[str, Lease] = {}
        damaged = []
        for number, line in enumerate(lines, start=1):
            if not line:
                continue
            try:
                record = _checked(line)
                if record["record"] == "run":
                    run = _run(record)
                else:
                    _note(leases, record)
            except (ValueError, KeyError, TypeError, PerfchaosError):
                damaged.append(number)
        return Contents(run=run, open=tuple(leases.values()), damaged=tuple(damaged))

    @contextmanager
    def claimed(self, lease: Lease) -> Iterator[None]:
        """Heal a lease within this: healers wait for one another, but not for one that hangs."""
        try:
            descriptor = os.open(self._claim_file(lease), os.O_WRONLY | os.O_CREAT, 0o600)
        except OSError:
            yield  # A disk that is full or read-only must not keep anybody from healing.
            return
        try:
            deadline_s = time.monotonic() + _CLAIM_S
            while time.monotonic() < deadline_s:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(0.01)
            yield
        finally:
            os.close(descriptor)

    def retire(self, run_directory: Path | None) -> None:
        """Move a file without open leases out of the way: into the run's folder if it is there."""
        if run_directory is not None and run_directory.is_dir():
            with suppress(OSError):  # Another has retired it, or the folder is full: it is over.
                shutil.copyfile(self.path, run_directory / "leases.jsonl")
        for claim in self.path.parent.glob(f"{self.path.stem}.*.claim"):
            claim.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def _claim_file(self, lease: Lease) -> Path:
        return self.path.with_suffix(f".{lease.id.rpartition('/')[2]}.claim")

    def _append(self, kind: str, facts: Document) -> None:
        stamp = {"record": kind, "at": datetime.now(UTC).isoformat(), "at_ns": time.monotonic_ns()}
        body = json.dumps(stamp | dict(facts))
        line = json.dumps({"crc32": zlib.crc32(body.encode()), "body": body}).encode() + b"\n"
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND)
        except OSError as error:
            raise _unwritable(self.path, error) from None
        size = os.fstat(descriptor).st_size
        try:
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line  # A torn line stays by itself and spoils no other.
            if os.write(descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        except OSError as error:
            with suppress(OSError):  # Half a line is put up with when it is read.
                os.ftruncate(descriptor, size)
            raise _unwritable(self.path, error) from None
        finally:
            os.close(descriptor)


def lease_files() -> tuple[LeaseFile, ...]:
    """The lease files of all runs that have not ended in good order, or are still alive."""
    return tuple(LeaseFile(path) for path in sorted(leases_dir().glob("*.jsonl")))


def _boot_ns() -> int:
    """Nanoseconds since the machine came up, suspends among them where the system counts them."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime_ns(clock)


def boot_id() -> str:
    """What tells one boot of this machine from the next."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:  # Not Linux: the moment of boot, to ten seconds.
        return str(round((time.time() - time.monotonic()) / 10))


def _checked(line: bytes) -> Document:
    envelope = json.loads(line)
    body: str = envelope["body"]
    if zlib.crc32(body.encode()) != envelope["crc32"]:
        raise ValueError("the checksum is wrong")
    record: Document = json.loads(body)
    return record


def _note(leases: dict[str, Lease], record: Document) -> None:
    """Take one line about a lease into account."""
    key: str = record["lease"]
    match record["record"]:
        case "opened":
            leases[key] = _lease(record)
        case "done":
            leases[key] = replace(leases[key], done=True)
        case "doubt" if key in leases:  # Else another has closed it meanwhile.
            leases[key] = replace(leases[key], doubt=Deadline(**record["until"]))
        case "closed":
            leases.pop(key, None)


def _run(record: Document) -> RunRecord:
    return RunRecord(
        run_id=record["run_id"],
        process=Process(**record["process"]),
        run_directory=Path(record["run_directory"]),
        target=record["target"],
    )


def _lease(record: Document) -> Lease:
    return Lease(
        id=record["lease"],
        kind=record["kind"],
        dependency=record["dependency"],
        undo=mechanisms.from_document(record["undo"]),
        symptom=_symptom(record["symptom"]) if record["symptom"] else None,
        deadline=Deadline(**record["deadline"]),
    )


def _symptom(fields: Document) -> Symptom:
    return Symptom(**{**fields, "route": Route(**fields["route"]), "fates": tuple(fields["fates"])})


def _unwritable(path: Path, error: OSError) -> PerfchaosError:
    return PerfchaosError(
        f"the lease file {path} cannot be written ({error.strerror})",
        next_step="free space or make the folder writable, or set PERFCHAOS_STATE_DIR",
    )
