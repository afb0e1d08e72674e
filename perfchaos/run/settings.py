"""What an experiment asks of the workload, as the control's argument `workload`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from perfchaos.errors import InvalidInput, PerfchaosError
from perfchaos.measure.baseline import WellLimits
from perfchaos.postgres_client import login_of
from perfchaos.race.plan import RacePlan, size_mistakes
from perfchaos.race.scenarios import SCENARIOS
from perfchaos.target import Target
from perfchaos.timeline import Fact
from perfchaos.workload.arrivals import Arrivals, Stage
from perfchaos.workload.plan import Plan
from perfchaos.workload.scenarios import SCENARIOS as LOADS
from perfchaos.workload.strict_json import read

UNDISTURBED_MAX_S = 3600.0
CONTENDERS = 10
CALM_RATIO = 0.1
"""Before a scenario begins, this share of its first rate is sent."""
JUDGED_WITHIN_S = 3.0
"""What the hypothesis about the baseline may take before a scenario begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadSettings:
    """
    How the target is loaded, from before the baseline until after the recovery.

    Requests arrive `rate_per_s` times a second whatever becomes of them (`poisson`: at random, at
    that mean rate). The first `warm_up_s` seconds are sent and not measured; the `baseline_s`
    seconds after them are what every later phase is compared with.

    `connections_max` takes the place of the target file's `connections.max`.

    The baseline is well if at most `baseline_error_ratio` of its requests fail and 99 of 100 take
    no longer than `baseline_p99_ms`; nothing is harmed otherwise.

    With a `scenario` instead of a rate they come at a tenth of its rate until the end of the
    baseline, and then as `perfchaos.workload.scenarios` has it, its stages lasting
    `duration_ratio` times as long.
    """

    kind: str
    rate_per_s: float | None = None
    scenario: str | None = None
    duration_ratio: float = 1.0
    warm_up_s: float = 2.0
    baseline_s: float = 8.0
    baseline_error_ratio: float = WellLimits().error_ratio
    baseline_p99_ms: float = WellLimits().latency_p99_ms
    poisson: bool = False
    connections_max: int | None = None
    in_flight_max: int = 20_000

    def mistakes(self) -> list[str]:
        """What is wrong with it, in words."""
        found = [*_mistaken_times(self), *_mistaken_limits(self)]
        if (self.rate_per_s is None) == (self.scenario is None):
            return [*found, "workload: give either rate_per_s or scenario"]
        if self.scenario is not None and self.scenario not in LOADS:
            return [
                *found,
                f"workload.scenario: {self.scenario!r} is none of {', '.join(LOADS)}",
            ]
        if not 0.01 <= self.duration_ratio <= 100:
            found.append(
                f"workload.duration_ratio: {self.duration_ratio:g} is not between 0.01 and 100"
            )
        return found or [f"workload: {mistake}" for mistake in self.arrivals().mistakes()]

    @property
    def well(self) -> WellLimits:
        """What is still a well baseline."""
        return WellLimits(
            error_ratio=self.baseline_error_ratio, latency_p99_ms=self.baseline_p99_ms
        )

    def arrivals(self) -> Arrivals:
        """The arrivals it asks for, until stopped."""
        if self.scenario is None:
            return Arrivals.constant(self.rate_per_s or 0.0, poisson=self.poisson)
        stages = LOADS[self.scenario].stages
        calm_per_s = stages[0].end_per_s * CALM_RATIO
        calm = Stage(duration_s=self.load_after_s, start_per_s=calm_per_s, end_per_s=calm_per_s)
        played = (
            replace(stage, duration_s=(stage.duration_s or 0.0) * self.duration_ratio)
            for stage in stages
        )
        return Arrivals(
            stages=(calm, *played, _on(stages[-1])), poisson=LOADS[self.scenario].poisson
        )

    @property
    def load_after_s(self) -> float:
        """When a scenario begins, after the first request: the baseline is judged by then."""
        return self.warm_up_s + self.baseline_s + JUDGED_WITHIN_S

    @property
    def greatest_per_s(self) -> float:
        """The greatest rate that it asks for, requests a second."""
        return max(stage.end_per_s for stage in self.arrivals().stages)

    def stages_s(self) -> tuple[float, float]:
        """How long the scenario ramps and how long it then loads, in seconds; 0 without one."""
        if self.scenario is None:
            return 0.0, 0.0
        stages = LOADS[self.scenario].stages
        ramps = [stage.start_per_s != stage.end_per_s for stage in stages]
        lasts_s = [(stage.duration_s or 0.0) * self.duration_ratio for stage in stages]
        ramp_s = sum(s for s, ramp in zip(lasts_s, ramps, strict=True) if ramp)
        return ramp_s, sum(lasts_s) - ramp_s

    def plan(self, target: Target, *, seed: int) -> Plan:
        """What the workload process is to do."""
        return Plan(
            request=target.webhook,
            load=self.arrivals(),
            seed=seed,
            connections_max=self.connections_max or target.connections.max_count,
            keep_alive=target.connections.keep_alive,
            idle_max_s=target.connections.idle_s,
            in_flight_max=self.in_flight_max,
        )

    def facts(self) -> dict[str, Fact]:
        """What the timeline says of it."""
        if self.scenario is not None:
            return {"kind": self.kind, "scenario": self.scenario}
        return {"kind": self.kind, "rate_per_s": self.rate_per_s}


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceSettings:
    """
    How contenders race for what only the first may have, from before the baseline until the end.

    A `scenario` gives both `contenders` and `rounds`, unless they are given here; without either
    there are ten contenders, and rounds until the run ends. `duplicates` of the contenders are
    second requests of others. The rounds of the first `warm_up_s` seconds belong to no phase, but
    a race is a race in them too.
    """

    kind: str
    scenario: str | None = None
    contenders: int | None = None
    rounds: int | None = None
    duplicates: int = 0
    warm_up_s: float = 1.0
    baseline_s: float = 8.0

    def mistakes(self) -> list[str]:
        """What is wrong with it, in words."""
        found = _mistaken_times(self)
        if self.scenario is not None and self.scenario not in SCENARIOS:
            found.append(f"workload.scenario: {self.scenario!r} is none of {', '.join(SCENARIOS)}")
            return found
        sizes = size_mistakes(self._contenders(), self._rounds(), self.duplicates)
        return found + [f"workload.{mistake}" for mistake in sizes]

    def plan(self, target: Target, *, seed: int) -> RacePlan:
        """
        What the race process is to do.

        Raises:
            PerfchaosError: the target file has no race.

        """
        if target.race is None:
            raise PerfchaosError(
                f"target file {target.path} has no race",
                next_step="add the section 'race', or use the workload 'webhook'",
            )
        return RacePlan(
            race=target.race,
            database=login_of(target),
            contenders=self._contenders(),
            rounds=self._rounds(),
            duplicates=self.duplicates,
            seed=seed,
        )

    @property
    def greatest_per_s(self) -> None:
        """Rounds come as fast as they are decided: nobody knows before."""
        return None

    def facts(self) -> dict[str, Fact]:
        """What the timeline says of it."""
        return {
            "kind": self.kind,
            "contenders": self._contenders(),
            "duplicates": self.duplicates,
            "rounds": self._rounds(),
        }

    def _contenders(self) -> int:
        if self.contenders is not None:
            return self.contenders
        return SCENARIOS[self.scenario].contenders if self.scenario else CONTENDERS

    def _rounds(self) -> int | None:
        if self.rounds is not None:
            return self.rounds
        return SCENARIOS[self.scenario].rounds if self.scenario else None


KINDS: Mapping[str, type[WorkloadSettings] | type[RaceSettings]] = MappingProxyType(
    {"webhook": WorkloadSettings, "vendor_race": RaceSettings}
)


def read_workload_settings(data: Mapping[str, Any]) -> WorkloadSettings | RaceSettings:
    """
    The settings in the control's argument `workload`.

    Raises:
        InvalidInput: with every mistake in it.

    """
    mistakes: list[str] = []
    settings = None
    if data.get("kind") in KINDS:
        settings = read(KINDS[data["kind"]], data, where="workload", mistakes=mistakes)
    else:
        mistakes = [f"workload.kind: {data.get('kind')!r} is none of {', '.join(KINDS)}"]
    if settings is not None:
        mistakes = settings.mistakes()
    if settings is None or mistakes:
        raise InvalidInput(
            "the control 'perfchaos'", mistakes, next_step="correct its arguments in the experiment"
        )
    return settings


def _on(last: Stage) -> Stage:
    """The stage that goes on at the rate at which `last` ended, until the load is stopped."""
    return Stage(duration_s=None, start_per_s=last.end_per_s, end_per_s=last.end_per_s)


def _mistaken_limits(settings: WorkloadSettings) -> list[str]:
    found = []
    if not 0 <= settings.baseline_error_ratio <= 1:
        ratio = settings.baseline_error_ratio
        found.append(f"workload.baseline_error_ratio: {ratio:g} is not between 0 and 1")
    if not 0 < settings.baseline_p99_ms <= UNDISTURBED_MAX_S * 1000:
        found.append(f"workload.baseline_p99_ms: {settings.baseline_p99_ms:g} is not above 0")
    return found


def _mistaken_times(settings: WorkloadSettings | RaceSettings) -> list[str]:
    times_s = (("warm_up_s", settings.warm_up_s), ("baseline_s", settings.baseline_s))
    found = [
        f"workload.{name}: {value:g} is not between 0 and {UNDISTURBED_MAX_S:g}"
        for name, value in times_s
        if not 0 <= value <= UNDISTURBED_MAX_S
    ]
    if not settings.baseline_s:
        found.append("workload.baseline_s: without a baseline nothing can be compared")
    return found
