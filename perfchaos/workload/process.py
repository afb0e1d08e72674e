"""
The workload process, seen from the run that starts it.

It lives in a session of its own, so that a Ctrl-C in the terminal reaches the run alone, and it
ends with its stdin pipe: however the run dies, no load outlives it.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self, cast

from perfchaos.errors import PerfchaosError
from perfchaos.workload.tally import Tally

RECORDING = "recording"
# For one that hangs; one that ends is noticed at once. A disk that others sync can stall it long.
READY_TIMEOUT_S = 30.0


class WorkloadError(PerfchaosError):
    """The workload process could not start, or ended before its time."""


class Plan(Protocol):
    """What a workload process can be given to do: `program` is the module that does it."""

    @property
    def program(self) -> str: ...

    @property
    def drain_s(self) -> float:
        """How long it may take to end once it is told to."""
        ...

    def check(self, environment: Mapping[str, str]) -> None:
        """Raises InvalidInput with all mistakes."""
        ...

    def to_json(self) -> object: ...


def start_workload(
    plan: Plan, directory: Path, *, environment: Mapping[str, str] | None = None
) -> "Workload":
    """
    Starts a process that runs `plan`; plan, log and recording go into `directory`.

    `environment` holds the signing key under the name that the plan gives; None is this process's
    own. Raises InvalidInput with all mistakes of the plan.
    """
    environment = os.environ if environment is None else environment
    plan.check(environment)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    plan_path = directory / "plan.json"
    plan_path.touch(mode=0o600)
    plan_path.write_text(json.dumps(plan.to_json(), indent=1))
    with (directory / "workload.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", plan.program, str(plan_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            env=dict(environment),
        )
    return Workload(plan, directory, process)


class Workload:
    """A running workload; as a context manager it is stopped at the end of the block."""

    def __init__(self, plan: Plan, directory: Path, process: subprocess.Popen[bytes]) -> None:
        self.recording_path = directory / RECORDING
        self.progress: Tally | None = None
        """The latest report, about once a second."""
        self.ended: Tally | None = None
        """The final report; None while it runs, and for ever if the process died."""
        self._plan = plan
        self._log = directory / "workload.log"
        self._process = process
        self._stdin = cast("IO[bytes]", process.stdin)
        self._stdout = cast("IO[bytes]", process.stdout)
        self.problem: str | None = None
        """Why the process ended before its time, in its own words."""
        self._is_ready = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """
        Returns when the recording exists and the first request is about to be sent.

        Raises WorkloadError if the process ends or is not ready in time; then it is stopped.
        """
        heard = self._is_ready.wait(timeout_s)
        if heard and self.problem is None:
            return
        problem = self.problem if heard else f"it was not ready within {timeout_s:g} s"
        self.stop(timeout_s=0)
        raise WorkloadError(f"the workload did not start: {problem}", next_step=f"see {self._log}")

    def wait(self, timeout_s: float | None = None) -> Tally | None:
        """The final report once the process has ended by itself; None after `timeout_s`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
            self._listener.join()
        return self.ended

    def stop(self, *, timeout_s: float | None = None) -> Tally | None:
        """
        Ends the sending, waits until what is in flight is settled, and gives the final report.

        None if the process had died, or had to be killed after `timeout_s` (by default what the
        plan grants it). Calling it again is harmless.
        """
        process = self._process
        if timeout_s is None:
            timeout_s = self._plan.drain_s
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._listener.join()
        self._stdout.close()
        return self.ended

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _listen(self) -> None:
        for line in self._stdout:
            message = json.loads(line)
            event = message.pop("event")
            if event == "ready":
                self._is_ready.set()
            elif event == "progress":
                self.progress = Tally(**message)
            elif event == "ended":
                self.ended = self.progress = Tally(**message)
            elif event == "failed":
                self.problem = message["problem"]
        if not self._is_ready.is_set():
            self.problem = self.problem or f"it ended with {self._process.wait()} and no word"
            self._is_ready.set()
