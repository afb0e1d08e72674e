"""
The watchdog: a process of its own that outlives the run and heals what the run no longer can.

Started by the run as `python -m perfchaos.safety`, in a session of its own. It holds the
reading end of a pipe that only the run can write to, and a descriptor of the run's process: death
by any signal is noticed at once. It heals every open lease

    when the run has died               then ends the workload and gives the run its last word
    when a lease has run out            then tells the run to abort
    when the guard says stop            then tells the run to abort
    when somebody leaves a stop file    then tells the run to abort
    when it is told to end (SIGTERM)    then tells the run to abort

Messages are JSON, one a line. From the run: the `Assignment` first, then {"event": "workload",
"pid", "started", "recording"}, {"event": "load ended"} and in the end {"event": "goodbye"}. To the
run: {"event": "ready"}, {"event": "revoked", "reason"}.
"""

import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perfchaos.errors import PerfchaosError
from perfchaos.process_table import look_up
from perfchaos.processes import Process
from perfchaos.safety import audit
from perfchaos.safety.guard import Guard, StopCondition, read_conditions
from perfchaos.safety.healing import Healed, heal, settle
from perfchaos.safety.lease import Lease, LeaseFile
from perfchaos.timeline import Timeline
from perfchaos.verdict import complete_as_aborted

WATCHDOG = "watchdog"
"""The healer's name when it is the watchdog."""

_LOOK_S = 0.1
# What does not heal at once is tried again after these pauses.
_RETRIES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_WORKLOAD_ENDS_WITHIN_S = 5.0
# What takes longer hangs, or will do with what comes after: the run must be told, buried, judged.
_HEALED_WITHIN_S = 70.0
_SETTLED_WITHIN_S = 200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """
    What a watchdog is to watch over.

    A run that was told to abort plays its rollbacks and judges; one that has not ended after
    `run_ends_within_s` hangs and is killed.
    """

    run_id: str
    run: Process
    run_directory: Path
    leases: Path
    timeline: Path
    conditions: tuple[StopCondition, ...]
    run_ends_within_s: float = 60.0

    def to_line(self) -> str:
        """As the first line of the pipe."""
        return json.dumps(
            {
                "run_id": self.run_id,
                "pid": self.run.pid,
                "started": self.run.started,
                "run_directory": str(self.run_directory),
                "leases": str(self.leases),
                "timeline": str(self.timeline),
                "conditions": [condition.to_document() for condition in self.conditions],
                "run_ends_within_s": self.run_ends_within_s,
            }
        )

    @classmethod
    def from_line(cls, line: str) -> "Assignment":
        """What `to_line` wrote."""
        fields = json.loads(line)
        return cls(
            run_id=fields["run_id"],
            run=Process(pid=fields["pid"], started=fields["started"]),
            run_directory=Path(fields["run_directory"]),
            leases=Path(fields["leases"]),
            timeline=Path(fields["timeline"]),
            conditions=read_conditions(fields["conditions"]),
            run_ends_within_s=fields["run_ends_within_s"],
        )


class Watchdog:
    """Watches one run until it says goodbye or dies."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._leases = LeaseFile(assignment.leases)
        self._timeline = Timeline(assignment.timeline)
        self._stop_file = stop_file(assignment.run_directory)
        self._guard = Guard(assignment.conditions)
        self._workload: Process | None = None
        self._aborted: str | None = None
        self._abort_by_s = float("inf")
        self._goodbye = False
        self._told_to_end = False
        self._healed: list[Healed] = []

    def watch(self) -> None:
        """Return when the run has said goodbye, or when all is done after its death."""
        signal.signal(signal.SIGTERM, self._on_sigterm)
        run_exit = _process_descriptor(self._assignment.run)
        poller = select.poll()
        poller.register(sys.stdin.fileno(), select.POLLIN)
        if run_exit is not None:
            poller.register(run_exit, select.POLLIN)
        _say({"event": "ready"})
        unread = b""
        while not self._goodbye:
            ready = {descriptor for descriptor, _ in poller.poll(_LOOK_S * 1000)}
            if sys.stdin.fileno() in ready:
                received = os.read(sys.stdin.fileno(), 65536)
                *lines, unread = (unread + received).split(b"\n")
                self._hear(lines)
                if not received and not self._goodbye:
                    return self._bury()
            elif run_exit in ready or not self._assignment.run.alive():
                return self._bury()
            self._look()
        self._heal_everything()  # What a run could not heal itself before it ended in good order.
        return None

    def _hear(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            message = json.loads(line)
            if message["event"] == "goodbye":
                self._goodbye = True
            elif message["event"] == "workload":
                self._workload = Process(pid=message["pid"], started=message["started"])
                self._guard.arm(Path(message["recording"]))
            elif message["event"] == "load ended":
                self._guard.disarm()

    def _look(self) -> None:
        if self._aborted is not None:
            if time.monotonic() > self._abort_by_s:
                self._assignment.run.signal(signal.SIGKILL)
        elif self._told_to_end:
            self._abort("the watchdog was told to end")
        elif self._stop_file.exists():
            self._abort(f"stopped: {_first_line(self._stop_file)}")
        elif overdue := [lease for lease in self._open() if lease.deadline.left_s() <= 0]:
            self._abort(f"{overdue[0].dependency} {overdue[0].kind!r} outlived its lease")
        elif reason := self._guard.breach():
            self._abort(reason)

    def _abort(self, reason: str) -> None:
        """Heal first, then tell the run."""
        self._aborted = reason
        self._abort_by_s = time.monotonic() + self._assignment.run_ends_within_s
        noticed_ns = time.monotonic_ns()
        _say({"event": "revoked", "reason": reason})
        self._heal_everything()
        self._assignment.run.signal(signal.SIGTERM)
        with suppress(OSError):
            self._timeline.record("run revoked", at_ns=noticed_ns, reason=reason)

    def _bury(self) -> None:
        """The run is dead: heal, end its workload, give it its last word, look again."""
        noticed_ns = time.monotonic_ns()
        died = self._aborted or f"the run's process {self._assignment.run.pid} died"
        self._heal_everything()  # Before all else: a full disk stops the records, not the healing.
        if self._workload is not None:
            self._workload.signal(signal.SIGTERM)
        with suppress(OSError):
            self._timeline.record("run died", at_ns=noticed_ns, reason=died)
        healed = {one.lease.id for one in self._healed}  # Some are open still: they are in doubt.
        if left := [
            f"{lease.dependency} {lease.kind!r}" for lease in self._open() if lease.id not in healed
        ]:
            died = f"{died}; not healed yet: {', '.join(left)}"
        self._complete_verdict(died)
        with suppress(PerfchaosError):  # The verdict says it as well.
            audit.record("run died", run=self._assignment.run_id, verdict="aborted", reason=died)
        if self._workload is not None and not self._workload.wait_gone(_WORKLOAD_ENDS_WITHIN_S):
            self._workload.signal(signal.SIGKILL)
        self._settle_everything()
        contents = self._leases.read()
        if not contents.open and not contents.damaged:
            self._leases.retire(self._assignment.run_directory)

    def _heal_everything(self) -> None:
        self._beside_each_other(self._heal, within_s=_HEALED_WITHIN_S)

    def _settle_everything(self) -> None:
        """Heal, again and again if need be, and look again until nothing can land any more."""
        self._beside_each_other(self._settle, within_s=_SETTLED_WITHIN_S)

    def _beside_each_other(self, do: Callable[[Lease], object], *, within_s: float) -> None:
        """All at once, none for ever: what hangs must keep neither the others waiting nor us."""
        threads = [
            threading.Thread(target=do, args=(lease,), daemon=True) for lease in self._open()
        ]
        for thread in threads:
            thread.start()
        deadline_s = time.monotonic() + within_s
        for thread in threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))

    def _settle(self, lease: Lease) -> None:
        for pause_s in (*_RETRIES_S, 0.0):
            healed = self._heal(lease)
            if healed is not None and healed.in_doubt_s > 0:
                try:
                    settle(self._leases, healed, by=WATCHDOG, timeline=self._timeline)
                except PerfchaosError as error:
                    _complain(str(error))
            if lease.id not in {left.id for left in self._open()}:
                return
            time.sleep(pause_s)

    def _heal(self, lease: Lease) -> Healed | None:
        try:
            healed = heal(self._leases, lease, by=WATCHDOG, timeline=self._timeline)
        except PerfchaosError as error:
            _complain(str(error))
            with suppress(OSError):
                self._timeline.record(
                    "fault not healed", lease=lease.id, by=WATCHDOG, why=str(error)
                )
            return None
        if healed is not None:
            known = [one for one in self._healed if one.lease.id != lease.id]
            self._healed = [*known, healed]
        return healed

    def _complete_verdict(self, reason: str) -> None:
        healed = [healed.as_document() for healed in self._healed]
        try:
            complete_as_aborted(self._assignment.run_directory, reason=reason, healed=healed)
        except (OSError, ValueError, KeyError) as error:
            _complain(f"the verdict could not be completed: {error}")

    def _open(self) -> tuple[Lease, ...]:
        return self._leases.read().open

    def _on_sigterm(self, number: int, frame: object) -> None:  # noqa: ARG002 - as signal calls it
        self._told_to_end = True


def stop_file(run_directory: Path) -> Path:
    """The file that stops a run as soon as it is there; its first line says why."""
    return run_directory / "stop"


def main() -> None:
    """Watch over the run that started this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    Watchdog(Assignment.from_line(_read_line(sys.stdin.fileno()))).watch()


def _read_line(descriptor: int) -> str:
    """One line and not a byte more, so that the rest can be polled for."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(descriptor, 1)
        if not byte:
            raise SystemExit("the run died before it said what to watch over")
        line += byte
    return line.decode()


def _process_descriptor(process: Process) -> int | None:
    """A descriptor that becomes readable when the process ends; None where there is no such."""
    if not hasattr(os, "pidfd_open") or look_up(process.pid) is None:
        return None
    return os.pidfd_open(process.pid)


def _say(message: Mapping[str, Any]) -> None:
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), json.dumps(message).encode() + b"\n")


def _complain(what: str) -> None:
    with suppress(OSError):  # The log lies on a disk too.
        print(f"error: {what}", file=sys.stderr, flush=True)


def _first_line(path: Path) -> str:
    try:
        return (path.read_text("utf-8", "replace").splitlines() or ["by hand"])[0]
    except OSError:
        return "by hand"
