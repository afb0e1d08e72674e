"""The run's side of its watchdog: start it, hear from it, notice its death, say goodbye."""

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perfchaos.errors import PerfchaosError
from perfchaos.processes import Process
from perfchaos.safety import audit
from perfchaos.safety.guard import StopCondition
from perfchaos.safety.injection import SafetyNet
from perfchaos.safety.locks import Claim
from perfchaos.safety.watchdog import Assignment

LOG = "watchdog.log"
_READY_WITHIN_S = 15.0
_ENDS_WITHIN_S = 20.0


@dataclass(slots=True, kw_only=True)
class Watched:
    """A run with its watchdog. Made by `watch_over`."""

    net: SafetyNet
    _watchdog: "subprocess.Popen[bytes]"
    _listener: threading.Thread
    _parted: threading.Event
    _claimed: Claim | None
    _run_directory: Path

    @property
    def watchdog_pid(self) -> int:
        """The watchdog's process."""
        return self._watchdog.pid

    def wait_ready(self) -> None:
        """
        Return when the watchdog watches; only then may anything be harmed.

        Raises:
            PerfchaosError: it did not start.

        """
        assert self._watchdog.stdout is not None
        ready, _, _ = select.select([self._watchdog.stdout], [], [], _READY_WITHIN_S)
        if not ready or b"ready" not in self._watchdog.stdout.readline():
            self._watchdog.kill()
            raise PerfchaosError(
                "the watchdog did not start",
                next_step=f"read {self._run_directory / LOG}",
            )
        self._listener.start()

    def workload_started(self, workload: Process, recording: Path) -> None:
        """Tell the watchdog what to end if this run dies, and where the guard is to look."""
        self._tell(
            {
                "event": "workload",
                "pid": workload.pid,
                "started": workload.started,
                "recording": str(recording),
            }
        )

    def load_ended(self) -> None:
        """Tell the guard that no more requests will come, and that this is as it should be."""
        self._tell({"event": "load ended"})

    def part(self, *, verdict: str) -> None:
        """
        Say goodbye: the run ends in good order, its verdict is written. Idempotent.

        `verdict` goes into the audit log.

        Raises:
            PerfchaosError: a lease is still open after the watchdog tried as well, or the audit
                log cannot be written.

        """
        if self._parted.is_set():
            return
        self._parted.set()
        self.net.wait_settled()
        self._tell({"event": "goodbye"})
        assert self._watchdog.stdin is not None
        self._watchdog.stdin.close()
        try:
            self._watchdog.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._watchdog.kill()
            self._watchdog.wait()
        if self._listener.ident is not None:
            self._listener.join()
        assert self._watchdog.stdout is not None
        self._watchdog.stdout.close()
        if self._claimed is not None:
            self._claimed.release()
        contents = self.net.leases.read()
        if contents.open:
            left = ", ".join(f"{lease.dependency} {lease.kind!r}" for lease in contents.open)
            raise PerfchaosError(f"not healed: {left}", next_step="run 'perfchaos heal'")
        self.net.leases.retire(contents.run.run_directory if contents.run else None)
        audit.record("run ended", run=self.net.run_id, verdict=verdict)

    def _tell(self, message: Mapping[str, Any]) -> None:
        assert self._watchdog.stdin is not None
        with suppress(BrokenPipeError):  # It is dead; the listener has noticed and acts on it.
            self._watchdog.stdin.write(json.dumps(message).encode() + b"\n")


def watch_over(
    net: SafetyNet,
    *,
    run_directory: Path,
    conditions: Sequence[StopCondition] = (),
    claimed: Claim | None = None,
    run_ends_within_s: float = 60.0,
) -> Watched:
    """
    Start the watchdog of this process; it watches once `wait_ready` has returned.

    When it revokes the run, `net.revocation` is thrown with its reason, and it sends this process
    SIGTERM. When it dies, the revocation is thrown and this process sends itself SIGTERM, which
    Chaos Toolkit turns into an interruption. A revoked run that has not ended after
    `run_ends_within_s` is killed. `claimed` is released when the run parts.
    """
    assignment = Assignment(
        run_id=net.run_id,
        run=Process.current(),
        run_directory=run_directory,
        leases=net.leases.path,
        timeline=net.timeline.path,
        conditions=tuple(conditions),
        run_ends_within_s=run_ends_within_s,
    )
    watchdog = _started(assignment, run_directory / LOG)
    parted = threading.Event()
    listener = threading.Thread(
        target=_listen, args=(watchdog, net, parted), name="watchdog listener", daemon=True
    )
    return Watched(
        net=net,
        _watchdog=watchdog,
        _listener=listener,
        _parted=parted,
        _claimed=claimed,
        _run_directory=run_directory,
    )


def _started(assignment: Assignment, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as errors:
        watchdog = subprocess.Popen(
            [sys.executable, "-m", "perfchaos.safety"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            bufsize=0,  # What a dead watchdog did not hear must not come up again at the end.
        )
    assert watchdog.stdin is not None
    assert watchdog.stdout is not None
    with suppress(BrokenPipeError):
        watchdog.stdin.write(assignment.to_line().encode() + b"\n")
    return watchdog


def _listen(watchdog: "subprocess.Popen[bytes]", net: SafetyNet, parted: threading.Event) -> None:
    assert watchdog.stdout is not None
    for line in watchdog.stdout:
        message = json.loads(line)
        if message["event"] == "revoked":
            net.revocation.revoke(message["reason"])
    if not parted.is_set():
        net.revocation.revoke("the watchdog died, so nothing may stay harmed")
        os.kill(os.getpid(), signal.SIGTERM)
