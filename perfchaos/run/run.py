"""
One run while it lasts: what it consists of, and what it has found out so far.

The control begins and ends it; probes and actions find it with `current()`. Nothing here knows of
experiments or of Chaos Toolkit.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from perfchaos.errors import PerfchaosError
from perfchaos.ledger import Books, Fates, Ledger
from perfchaos.measure.fallback import Stretch, stretches
from perfchaos.measure.phases import samples_of, window_of
from perfchaos.phases import lived
from perfchaos.race.contest import Contest
from perfchaos.recording import Recording, Window
from perfchaos.recording.reader import Samples
from perfchaos.run.directory import RunDirectory
from perfchaos.run.following import Following
from perfchaos.run.racing import RaceUnderWay
from perfchaos.run.scene import Scene
from perfchaos.run.settings import RaceSettings, WorkloadSettings
from perfchaos.safety import Revoked
from perfchaos.safety.watched import Watched
from perfchaos.timeline import Phase, Span, spans
from perfchaos.verdict import Judgement, Limits, Measurement, NotAsked, Verdict, judge
from perfchaos.workload.capacity import Capacity
from perfchaos.workload.process import Workload


@dataclass(slots=True, kw_only=True)
class Run(Scene):
    """
    One run, from its baseline to its last measurement.

    `not_asked` holds what has no meaning for the target, by name.
    `judgements` keeps the latest judgement of each measurement by (probe, name, subject, phase):
    what is asked again later is judged again, on more data; `judged_ns` is when that was last.
    `companions` are closed when the run is concluded. `following` reads each part of it once.
    `steps` are the recordings of the loads that a search sent besides the run's own.
    `ledger` is the last that was read, and is `ledger_whole` once no request can change it.
    `ailments` is what ailed the target in its baseline, before anything was harmed.
    `load_died` tells of a load generator that ended without being told to, `rolling_back` that the
    rollbacks are being played.
    """

    directory: RunDirectory
    settings: WorkloadSettings | RaceSettings
    seed: int
    draft: Verdict
    watched: Watched
    workload: Workload
    recording: Recording
    race: RaceUnderWay | None = None
    judgements: dict[tuple[str, str, str | None, str | None], Judgement] = field(
        default_factory=dict
    )
    judged_ns: int = 0
    not_asked: dict[str, NotAsked] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    ledger: Ledger | None = None
    ledger_whole: bool = False
    ledger_read_s: float = 0.0
    books: Books | None = None
    capacity: Capacity | None = None
    steps: list[Recording] = field(default_factory=list)
    load_ended_ns: int | None = None
    load_died: bool = False
    ailments: tuple[str, ...] = ()
    rolling_back: bool = False
    companions: ExitStack = field(default_factory=ExitStack)
    following: Following = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is read before it is asked for."""
        self.following = Following(self.recording, self.directory.queue)

    def go_on(self, duration_s: float) -> None:
        """
        Let the load go on for `duration_s`.

        Raises:
            Revoked: the run was called off meanwhile.

        """
        if self.net.revocation.wait(duration_s):
            raise Revoked(
                f"the run was called off: {self.net.revocation.reason}",
                next_step=f"read {self.directory.timeline}",
            )

    def play_scenario(self) -> None:
        """
        Live through the scenario of the workload, its ramp and its load.

        Raises:
            PerfchaosError: the workload has none, or the run was called off meanwhile.

        """
        settings = self.settings
        if isinstance(settings, RaceSettings) or settings.scenario is None:
            raise PerfchaosError(
                "the workload has no scenario",
                next_step="give the control's argument 'workload' a scenario",
            )
        ramp_s, load_s = settings.stages_s()
        begins_ns = self.recording.epoch_ns + int(settings.load_after_s * 1e9)
        loads_ns = begins_ns + int(ramp_s * 1e9)
        if ramp_s:
            self._enter_at(Phase.RAMP, begins_ns)
        self._enter_at(Phase.LOAD, loads_ns)
        self._go_on_until(loads_ns + int(load_s * 1e9))

    def _enter_at(self, phase: Phase, at_ns: int) -> None:
        self._go_on_until(at_ns)
        self.enter(phase, at_ns=at_ns)

    def _go_on_until(self, at_ns: int) -> None:
        self.go_on(max(0.0, (at_ns - time.monotonic_ns()) / 1e9))

    def end_load(self) -> None:
        """Stop the load, let what is in flight come home, and end the last phase. Idempotent."""
        if self.load_ended_ns is None:
            self.load_died = not self.workload.alive
            self.load_ended_ns = time.monotonic_ns()
            self.timeline.record("workload stopped", at_ns=self.load_ended_ns)
            self.watched.load_ended()
            self.workload.stop()

    @property
    def phase(self) -> Phase | None:
        """The phase under way; None before the baseline."""
        found = self.spans()
        return found[-1].phase if found else None

    def spans(self) -> tuple[Span, ...]:
        """The phases lived through so far."""
        return spans(self.timeline.events())

    def measure(
        self,
        metric: Callable[[Window, Phase | None], Measurement],
        wanted: Sequence[str] | None,
    ) -> list[dict[str, Any]]:
        """
        `metric` in each phase lived through so far, as plain data.

        `wanted` narrows it to some phases once there has been more than a baseline: a hypothesis
        about the outage is asked of the healthy baseline first like any other. A wanted phase that
        never came is measured as nothing, which no threshold passes.
        """
        return [
            metric(self.window(phase), phase).as_dict() for phase in self.phases_to_measure(wanted)
        ]

    def phases_to_measure(self, wanted: Sequence[str] | None) -> tuple[Phase, ...]:
        """The phases that `measure` would measure."""
        phases = lived(self.spans())
        if wanted is not None and phases != (Phase.BASELINE,):
            return tuple(Phase(name) for name in wanted)
        return phases

    def window(self, phase: Phase) -> Window:
        """What clients lived through in `phase` so far."""
        return window_of(self.recording, self.spans(), phase, now_ns=self.now_ns)

    def samples(self, phase: Phase) -> Samples:
        """The samples of `phase` so far."""
        return samples_of(self.recording, self.spans(), phase, now_ns=self.now_ns)

    def stretches(self, phase: Phase) -> tuple[Stretch, ...]:
        """Every time that `phase` was lived through so far."""
        return stretches(self.timeline.events(), self.spans(), phase, now_ns=self.now_ns)

    @property
    def now_ns(self) -> int:
        """This instant, or the end of the load if that is past (CLOCK_MONOTONIC)."""
        return self.load_ended_ns or time.monotonic_ns()

    def measure_race(
        self,
        metric: Callable[[Contest, Phase | None], Measurement],
        wanted: Sequence[str] | None,
        *,
        drain_s: float,
    ) -> list[dict[str, Any]]:
        """
        `metric` of the rounds in each phase lived through so far; `wanted` is as in `measure`.

        Raises:
            PerfchaosError: the workload is no race, or the database cannot be asked.

        """
        contest, found = self.contest(drain_s), self.spans()
        if self.load_ended_ns is not None and lived(found) == (Phase.BASELINE,):
            # Nothing was harmed, so there are no phases to tell apart: every round counts.
            return [metric(contest, None).as_dict()]
        return [
            metric(contest.during(phase, found, now_ns=self.now_ns), phase).as_dict()
            for phase in self.phases_to_measure(wanted)
        ]

    def contest(self, drain_s: float) -> Contest:
        """
        All rounds so far, judged by what the database holds of them.

        Raises:
            PerfchaosError: the workload is no race, or the database cannot be asked.

        """
        ended = self.load_ended_ns is not None
        return self.require_race().judged(
            self.target, drain_s=drain_s, ended=ended, wait=self.go_on
        )

    def require_race(self) -> RaceUnderWay:
        """The race that the run is loaded with; raises PerfchaosError if there is none."""
        if self.race is None:
            raise PerfchaosError(
                "the workload is no race",
                next_step="give the control a workload of the kind 'vendor_race'",
            )
        return self.race

    def judge(
        self, measurements: Iterable[Measurement], limits: Limits, *, probe: str
    ) -> list[Judgement]:
        """Hold what `probe` measured against `limits`, and keep the judgements for the verdict."""
        judgements = [
            judge(measurement, limits, probe=probe, yardstick=self._is_yardstick(measurement.phase))
            for measurement in measurements
        ]
        for judgement in judgements:
            self.judgements[judgement.key] = judgement
        self.judged_ns = time.monotonic_ns()
        return judgements

    def _is_yardstick(self, phase: Phase | None) -> bool:
        """Whether the question is about other phases; of a run without a fault it never is."""
        whole_run = self.load_ended_ns is not None and lived(self.spans()) == (Phase.BASELINE,)
        return phase is Phase.BASELINE and not whole_run

    def not_judged(self) -> list[Phase]:
        """The phases that went on after anything was last judged."""
        return [
            span.phase
            for span in self.spans()
            if span.end_ns is None or span.end_ns > self.judged_ns
        ]

    def reconcile(self, drain_s: float, *, within_s: float = 0.0) -> Ledger:
        """
        The ledger of every request whose fate is known by now, whichever load it was of.

        Once the load has ended nothing more can change it, so it is asked once. Until then one that
        was read `within_s` seconds before will do: what is asked in one breath gets one answer.

        Raises:
            PerfchaosError: Postgres cannot be asked, or something is missing there and the queue
                cannot be asked whether it still waits.

        """
        if self.ledger is not None and self.ledger_whole:
            return self.ledger
        ended = self.load_ended_ns is not None
        asked_s = time.monotonic()
        if self.ledger is not None and not ended and asked_s - self.ledger_read_s < within_s:
            return self.ledger
        fates = Fates.of([self.recording, *self.steps])
        self.books = self.books or Books.of(self.target, self.seed)
        self.ledger = self.books.settle(fates, drain_s=drain_s, wait=self.go_on)
        self.ledger_whole, self.ledger_read_s = ended, time.monotonic()
        return self.ledger


_PROBE = "probe"


def name_asker(values: object, probe: str) -> None:
    """Note in what a probe has measured, as plain data, that it was `probe` who did."""
    for item in values if isinstance(values, list) else ():
        if isinstance(item, dict) and ({"name", "phase", "value"} <= item.keys()):
            item[_PROBE] = probe


def asked_by(item: Mapping[str, object]) -> tuple[dict[str, object], str]:
    """A measurement as plain data without its asker, and the asker; empty if none was noted."""
    plain = dict(item)
    return plain, str(plain.pop(_PROBE, ""))


_current: Scene | None = None


class NoRun(PerfchaosError):
    """There is no run under way, or only the rehearsal of one."""


def current() -> Run:
    """
    The run under way in this process.

    Raises:
        NoRun: there is none.

    """
    if not isinstance(_current, Run):
        raise NoRun(
            "no run is under way",
            next_step="name the control 'perfchaos.control' in the experiment",
        )
    return _current


def scene() -> Scene:
    """
    Where faults are injected: the run under way, or its rehearsal.

    Raises:
        NoRun: there is neither.

    """
    return _current if _current is not None else current()


def run_under_way() -> bool:
    """Whether `current()` would give a run."""
    return isinstance(_current, Run)


def set_current(run: Scene | None) -> None:
    """Make `run` the one under way: Chaos Toolkit runs one experiment in a process."""
    global _current  # noqa: PLW0603 - probes and actions are bare functions; this is their only way
    _current = run
