"""
One plan in several processes, when one core is not enough.

Each process takes every k-th request and writes its own part of the recording; all parts count
from one epoch, so together they are exactly the recording that one process would have written.
"""

import asyncio
import dataclasses
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, cast

from perfchaos.errors import PerfchaosError
from perfchaos.workload.events import call_at_end_of_stdin, say, say_if_heard
from perfchaos.workload.plan import Plan
from perfchaos.workload.tally import Tally

_LEAD_NS = 100_000_000  # from the choice of the epoch until every part must be sending
_PROGRESS_S = 1.0
_GRACE_S = 5.0
_SILENCE = "silence"  # what is heard when a child's stdout ends


async def run(plan: Plan, plan_path: Path) -> None:
    """
    Runs all parts of the plan in children and speaks for them on stdout.

    Raises PerfchaosError if a part dies; the others are then stopped.
    """
    members = [await Member.start(plan_path, part) for part in range(plan.processes)]
    grace_s = plan.request.timeout_s + _GRACE_S
    try:
        reports = await _conduct(members)
    finally:
        await asyncio.gather(*(member.end(grace_s) for member in members))
    say("ended", **dataclasses.asdict(Tally.merged(reports)))


async def _conduct(members: Sequence["Member"]) -> list[Tally]:
    """Starts all members at one instant and waits for their final reports."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for member in members:
            member.stop()

    for member in members:
        await member.hear("warm")
    epoch_ns = time.monotonic_ns() + _LEAD_NS
    for member in members:
        member.tell(f"{epoch_ns}\n")
    for member in members:
        await member.hear("ready")
    loop.add_signal_handler(signal.SIGTERM, stop)
    call_at_end_of_stdin(loop, stop)
    say("ready", epoch_ns=epoch_ns)
    reporter = loop.create_task(_report(members))
    reports = [Tally(**await member.hear("ended")) for member in members]
    reporter.cancel()
    return reports


async def _report(members: Sequence["Member"]) -> None:
    while True:
        await asyncio.sleep(_PROGRESS_S)
        heard = [Tally(**member.progress) for member in members if member.progress]
        if len(heard) == len(members):
            say_if_heard("progress", **dataclasses.asdict(Tally.merged(heard)))


class Member:
    """One child: told things on stdin, heard on stdout."""

    def __init__(self, process: asyncio.subprocess.Process, part: int) -> None:
        self.progress: dict[str, Any] | None = None
        self._process = process
        self._stdin = cast("asyncio.StreamWriter", process.stdin)
        self._part = part
        self._events: dict[str, dict[str, Any]] = {}
        self._news = asyncio.Condition()
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, plan_path: Path, part: int) -> Self:
        """A child that runs part `part` of the plan; its stderr is ours."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "perfchaos.workload", str(plan_path), "--part", str(part)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return cls(process, part)

    def tell(self, line: str) -> None:
        """Writes to its stdin."""
        self._stdin.write(line.encode())

    def stop(self) -> None:
        """Ends its stdin, which ends its sending; harmless when repeated."""
        self._stdin.close()

    async def hear(self, event: str) -> dict[str, Any]:
        """The facts of an event once it was said. Raises PerfchaosError if it never will be."""
        async with self._news:
            await self._news.wait_for(lambda: event in self._events or _SILENCE in self._events)
        if event in self._events:
            return self._events[event]
        problem = self._events.get("failed", {}).get("problem", "it died")
        raise PerfchaosError(
            f"part {self._part} of the load did not get to {event!r}: {problem}",
            next_step="see the workload's log",
        )

    async def end(self, grace_s: float) -> None:
        """Waits for its end, and enforces it after `grace_s`."""
        self.stop()
        try:
            async with asyncio.timeout(grace_s):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _listen(self) -> None:
        stdout = cast("asyncio.StreamReader", self._process.stdout)
        async for line in stdout:
            facts = json.loads(line)
            event = facts.pop("event")
            if event == "progress":
                self.progress = facts
                continue
            await self._hear(event, facts)
        await self._hear(_SILENCE, {})

    async def _hear(self, event: str, facts: dict[str, Any]) -> None:
        async with self._news:
            self._events[event] = facts
            self._news.notify_all()
