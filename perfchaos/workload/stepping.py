"""
One step of a capacity search against a real target: a short load, judged.

Besides the promises given as thresholds, a step is broken by a growing backlog: above capacity
requests wait longer and longer, and a short step would end before their latency breaks a promise.
"""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

from perfchaos.errors import PerfchaosError
from perfchaos.recording import Recording, Window
from perfchaos.workload.arrivals import Arrivals
from perfchaos.workload.capacity import Breach, Step
from perfchaos.workload.health import unsound
from perfchaos.workload.plan import Plan
from perfchaos.workload.process import start_workload
from perfchaos.workload.tally import Tally
from perfchaos.workload.thresholds import Threshold

BACKLOG = "backlog"
_BACKLOG_GROWTH_MS = 50.0
_REST_ATTEMPTS = 30
_REST_S = 0.5
_FIRST_PER_S = 4.0


class TargetStepper:
    """
    Runs steps against the target of `plan`, whose own load is replaced by each step's.

    Every load that it sends is a series of its own under the plan's seed, so that all ids are those
    of one run. What a load leaves goes into a folder below `folder`, and its recording, as soon as
    there is one, into `recordings`.

    Before a step that follows a broken one the target must answer a light load within its promises
    again. Before the first it must acknowledge anything at all: a name that cannot be looked up has
    no capacity to search for.
    """

    def __init__(
        self,
        plan: Plan,
        promises: Sequence[Threshold],
        folder: Path,
        recordings: list[Recording] | None = None,
    ) -> None:
        self._plan, self._promises, self._folder = plan, tuple(promises), folder
        self.recordings = [] if recordings is None else recordings
        self._at_rest = True
        self._answered = False

    def run_step(self, rate_per_s: float, duration_s: float) -> Step:
        """
        One step.

        Raises PerfchaosError if the target acknowledges nothing, whatever the rate, and if it does
        not come to rest before the step.
        """
        if not self._answered:
            self._ask_first()
        if not self._at_rest:
            self._await_rest(rate_per_s)
        step = self._judge(rate_per_s, duration_s)
        self._at_rest = step.held
        return step

    def _ask_first(self) -> None:
        window = self._load(_FIRST_PER_S, _REST_S)[0].whole()
        if not window.acked_count:
            causes = window.by_class()
            total = sum(causes.values())
            seen = ", ".join(f"{cause}: {count} of {total}" for cause, count in causes.items())
            raise PerfchaosError(
                f"{self._plan.request.url} acknowledged nothing at all ({seen or 'nothing sent'})",
                next_step="correct the URL, the request or the statuses that acknowledge",
            )
        self._answered = True

    def _await_rest(self, rate_per_s: float) -> None:
        light_per_s = min(max(rate_per_s / 10, 4.0), 50.0)
        for _ in range(_REST_ATTEMPTS):
            if self._judge(light_per_s, _REST_S).held:
                return
            time.sleep(_REST_S)
        raise PerfchaosError(
            f"the target did not recover: even {light_per_s:g}/s breaks its promises",
            next_step="look at the target, then search again with a lower --start",
        )

    def _judge(self, rate_per_s: float, duration_s: float) -> Step:
        recording, tally = self._load(rate_per_s, duration_s)
        end_ns = recording.epoch_ns + int(duration_s * 1e9)
        window = recording.between(recording.epoch_ns, end_ns)
        return judged_step(recording, window, rate_per_s, self._promises, tally)

    def _load(self, rate_per_s: float, duration_s: float) -> tuple[Recording, Tally | None]:
        series = len(self.recordings) + 1
        plan = dataclasses.replace(
            self._plan,
            load=Arrivals.constant(rate_per_s),
            duration_s=duration_s,
            series=series,
        )
        with start_workload(plan, self._folder / str(series)) as workload:
            workload.wait_ready()
            recording = Recording.open(workload.recording_path)
            self.recordings.append(recording)
            tally = workload.wait()
        return recording, tally


def judged_step(
    recording: Recording,
    window: Window,
    rate_per_s: float,
    promises: Sequence[Threshold],
    tally: Tally | None,
) -> Step:
    """The step that `window` shows."""
    breaches = [
        Breach(
            promise=promise.text,
            value=promise.judge(window).value,
            first_s=_first_broken_s(recording, window, promise),
        )
        for promise in promises
        if not promise.judge(window).passed
    ]
    growth_ms = backlog_growth_ms(recording, window)
    if growth_ms is not None and growth_ms > _BACKLOG_GROWTH_MS:
        breaches.append(
            Breach(promise=BACKLOG, value=growth_ms, first_s=int(window.duration_s * 2 / 3))
        )
    return Step(
        rate_per_s=rate_per_s,
        duration_s=window.duration_s,
        latency_p99_ms=window.latency_ms(0.99),
        error_ratio=window.error_ratio,
        breaches=tuple(sorted(breaches, key=lambda breach: breach.first_s)),
        unsound=unsound(tally),
    )


def backlog_growth_ms(recording: Recording, window: Window) -> float | None:
    """How much the median latency of the last third exceeds that of the first; None: no data."""
    third_ns = (window.end_ns - window.start_ns) // 3
    first = recording.between(window.start_ns, window.start_ns + third_ns).latency_ms(0.5)
    last = recording.between(window.end_ns - third_ns, window.end_ns).latency_ms(0.5)
    return None if first is None or last is None else last - first


def _first_broken_s(recording: Recording, window: Window, promise: Threshold) -> int:
    """The first second in which the promise is broken; the last if it is so only on the whole."""
    seconds_count = max(int(window.duration_s), 1)
    for second in range(seconds_count):
        start_ns = window.start_ns + second * 1_000_000_000
        part = recording.between(start_ns, start_ns + 1_000_000_000)
        if part.planned_count and not promise.judge(part).passed:
            return second
    return seconds_count - 1
