"""The race that a run is loaded with, while it lasts."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from perfchaos.errors import PerfchaosError
from perfchaos.race.contest import Contest
from perfchaos.race.plan import RacePlan
from perfchaos.race.rounds import RoundRecording
from perfchaos.race.settling import settle
from perfchaos.target import Target

LOOK_EVERY_S = 0.1

type Wait = Callable[[float], None]
"""Lets so many seconds of the run pass."""


@dataclass(slots=True, kw_only=True)
class RaceUnderWay:
    """What is raced, all rounds so far, and once the load has ended what came of them."""

    plan: RacePlan
    recording: RoundRecording
    final: Contest | None = None

    def judged(self, target: Target, *, drain_s: float, ended: bool, wait: Wait) -> Contest:
        """
        All rounds so far, judged by what the database holds of them; asked once if `ended`.

        Raises:
            PerfchaosError: the database cannot be asked.

        """
        if self.final is not None:
            return self.final
        rounds = self.recording.rounds()
        judged = settle(target, (*rounds, *self.recording.controls()), drain_s=drain_s, wait=wait)
        contest = Contest(
            rounds=rounds,
            judged=tuple(one for one in judged if not one.round.control),
            controls=tuple(one for one in judged if one.round.control),
        )
        if ended:
            self.final = contest
        return contest

    def finish(self, *, at_most_s: float, wait: Wait) -> int:
        """
        Wait until all planned rounds are done; how many that were.

        Raises:
            PerfchaosError: it takes longer than `at_most_s`, or there is no last round.

        """
        planned, deadline_s = self.plan.rounds, time.monotonic() + at_most_s
        if planned is None:
            raise PerfchaosError(
                "the race has no last round",
                next_step="give the workload a scenario, or a number of rounds",
            )
        while (done := len(self.recording.rounds())) < planned:
            if time.monotonic() >= deadline_s:
                raise PerfchaosError(
                    f"only {done} of {planned} rounds were done within {at_most_s:g} s",
                    next_step="allow more time, or find out why the target is that slow",
                )
            wait(LOOK_EVERY_S)
        return done
