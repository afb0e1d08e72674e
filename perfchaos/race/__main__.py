"""
`python -m perfchaos.race PLAN`: the race process.

Runs the rounds of the plan one after another. Each is written to `rounds.jsonl` beside the plan,
and each of its requests as a sample into the folder `recording`, as any workload does: acked if
the target said who won, whoever that was. Speaks and listens as `perfchaos.workload` does. When
the plan's rounds are done it says so in its progress and waits to be told to end.
"""

import argparse
import contextlib
import dataclasses
import gc
import json
import os
import select
import signal
import sys
import time
from pathlib import Path

from perfchaos.errors import InvalidInput, PerfchaosError
from perfchaos.race.plan import RacePlan
from perfchaos.race.rounds import Round, RoundWriter, Said
from perfchaos.race.running import Racing
from perfchaos.race.tallying import Tallying
from perfchaos.recording.layout import Outcome
from perfchaos.recording.writer import Recorder
from perfchaos.workload.events import say

_PROGRESS_S = 1.0
_AFTER_PROBLEM_S = 0.1  # a target that cannot set a round up is not asked all the time
_OUTCOMES = {
    Said.WON: Outcome.ACKED,
    Said.LOST: Outcome.ACKED,
    Said.REFUSED: Outcome.REFUSED,
    Said.NOTHING: Outcome.INDETERMINATE,
}


def main() -> int:
    """Runs the plan named on the command line; 2 if it cannot be run."""
    parser = argparse.ArgumentParser(prog="perfchaos.race", description="one race plan")
    parser.add_argument("plan", type=Path)
    path: Path = parser.parse_args().plan
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        plan = _plan_at(path)
        folder = path.parent / "recording"
        folder.mkdir(exist_ok=True)
        epoch_ns = time.monotonic_ns()
        with (
            contextlib.closing(Racing(plan)) as racing,
            RoundWriter(path.parent / "rounds.jsonl") as writer,
            Recorder(folder / "0.samples", epoch_ns=epoch_ns) as recorder,
        ):
            process = _Process(plan, racing, writer, recorder, epoch_ns=epoch_ns)
            say("ready", epoch_ns=epoch_ns)
            gc.collect()
            gc.freeze()
            process.run()
    except PerfchaosError as error:
        say("failed", problem=str(error))
        return 2
    return 0


class _Process:
    """The life of the process: rounds, reports, and the end."""

    def __init__(
        self,
        plan: RacePlan,
        racing: Racing,
        writer: RoundWriter,
        recorder: Recorder,
        *,
        epoch_ns: int,
    ) -> None:
        self._plan = plan
        self._racing = racing
        self._writer = writer
        self._recorder = recorder
        self._epoch_ns = epoch_ns
        self._tallying = Tallying(epoch_ns=epoch_ns)
        self._report_at_s = time.monotonic() + _PROGRESS_S
        self._stopped = False
        self._stdin = select.poll()
        self._stdin.register(0, select.POLLIN | select.POLLHUP)
        signal.signal(signal.SIGTERM, self._on_signal)

    def run(self) -> None:
        """Runs until told to stop, through the plan's rounds and beyond their end."""
        number, controlled = 0, False
        while not self._told_to_stop(0):
            if self._plan.rounds is not None and number >= self._plan.rounds:
                self._told_to_stop(_PROGRESS_S)
            else:
                one = self._racing.run(number)
                self._write(one)
                number += 1
                if not controlled and _all_won(one):
                    # Either the target lets everybody win, or its replies are read wrongly.
                    controlled = True
                    self._writer.write(self._racing.control())
                if one.problem is not None:
                    self._told_to_stop(_AFTER_PROBLEM_S)
            self._report()
        self._say("ended")

    def _write(self, one: Round) -> None:
        for index, contender in enumerate(one.contenders):
            outcome = _OUTCOMES[contender.said]
            released_ns = one.released_ns or one.began_ns
            sent_ns = contender.sent_ns or released_ns
            self._recorder.write(
                released_ns - self._epoch_ns,
                one.number * self._plan.contenders + index,
                (sent_ns - released_ns) // 1000,
                (contender.done_ns - sent_ns) // 1000,
                contender.code,
                outcome,
                0,
            )
            self._tallying.count(outcome, sent_ns - released_ns)
        self._recorder.planned(self._tallying.planned_count)
        self._writer.write(one)

    def _report(self) -> None:
        if time.monotonic() >= self._report_at_s:
            self._report_at_s = time.monotonic() + _PROGRESS_S
            self._say("progress")

    def _say(self, event: str) -> None:
        tally = self._tallying.tally(
            sent_bytes=self._racing.sent_bytes, received_bytes=self._racing.received_bytes
        )
        say(event, **dataclasses.asdict(tally))

    def _told_to_stop(self, timeout_s: float) -> bool:
        if not self._stopped and self._stdin.poll(timeout_s * 1000):
            self._stopped = not os.read(0, 4096)
        return self._stopped

    def _on_signal(self, *_: object) -> None:
        self._stopped = True


def _all_won(one: Round) -> bool:
    return bool(one.contenders) and all(c.said is Said.WON for c in one.contenders)


def _plan_at(path: Path) -> RacePlan:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"the race plan {path}", [str(error)], next_step="write it with RacePlan.to_json"
        ) from error
    plan = RacePlan.from_json(data)
    plan.check()
    return plan


if __name__ == "__main__":
    sys.exit(main())
