"""Searches, within a run, for the greatest rate at which the target keeps its promises."""

import json
import logging
from collections.abc import Sequence

from perfchaos.errors import InvalidInput, PerfchaosError
from perfchaos.run.run import Run
from perfchaos.run.settings import RaceSettings
from perfchaos.timeline import Phase
from perfchaos.verdict import Measurement
from perfchaos.workload.capacity import Capacity, SearchPlan, Step, find_capacity
from perfchaos.workload.stepping import TargetStepper
from perfchaos.workload.strict_json import to_json
from perfchaos.workload.thresholds import threshold

logger = logging.getLogger("chaostoolkit")


def search_breaking_point(run: Run, promises: Sequence[str], search: SearchPlan) -> None:
    """
    Search while the run's own load goes on; all steps go into its directory.

    The ledger follows up what the steps were promised like all else.

    Raises:
        InvalidInput: a promise or the search makes no sense.
        Revoked: the run was called off meanwhile.
        PerfchaosError: the workload is a race, the target acknowledges nothing, or it does not
            recover from a step.

    """
    if isinstance(run.settings, RaceSettings):
        raise PerfchaosError(
            "a race has no rate to search for", next_step="use the workload 'webhook'"
        )
    if mistakes := search.mistakes():
        raise InvalidInput("the search", mistakes, next_step="correct the action")
    plan = run.settings.plan(run.target, seed=run.seed)
    stepper = TargetStepper(
        plan, [threshold(text) for text in promises], run.directory.steps, run.steps
    )

    def run_step(rate_per_s: float, duration_s: float) -> Step:
        run.go_on(0.0)  # Raises if the run was called off.
        step = stepper.run_step(rate_per_s, duration_s)
        _tell(run, step)
        return step

    run.enter(Phase.LOAD)
    found = find_capacity(run_step, search)
    run.directory.capacity.write_text(json.dumps(to_json(found), indent=1), encoding="utf-8")
    run.capacity = found
    logger.info("breaking point: %s", found.in_words())


def capacity_of(run: Run) -> Measurement:
    """The rate that was confirmed by a hold; a lower bound if the search never saw one break."""
    found = run.capacity
    if found is None:
        raise PerfchaosError(
            "no breaking point was searched for",
            next_step="put the action actions.workload.find_capacity into the method",
        )
    breach = found.first_breach
    return Measurement(
        name="capacity_per_s",
        phase=None,
        value=found.held_per_s,
        unit="1/s",
        samples=len(found.steps),
        evidence={
            "found": found.in_words(),
            "broke_per_s": found.broke_per_s,
            "first_broken": breach.promise if breach else None,
            "broken_at": breach.value if breach else None,
            "generator_limit": "; ".join(found.generator_limit) or None,
            "searched_s": _searched_s(found),
            **{f"step {place}": _words(step) for place, step in enumerate(found.steps, 1)},
        },
        lower_bound=found.held_per_s is not None and found.broke_per_s is None,
    )


def _searched_s(found: Capacity) -> float:
    return sum(step.duration_s for step in found.steps)


def _fate(step: Step) -> str:
    broken = ", ".join(breach.promise for breach in step.breaches)
    return "; ".join(step.unsound) or (f"broke {broken}" if broken else "held")


def _words(step: Step) -> str:
    p99 = "–" if step.latency_p99_ms is None else f"{step.latency_p99_ms:.1f} ms"
    return f"{step.rate_per_s:,.1f}/s for {step.duration_s:.0f} s, p99 {p99}: {_fate(step)}"


def _tell(run: Run, step: Step) -> None:
    fate = _fate(step)
    logger.info("%s", _words(step))
    run.timeline.record(
        "capacity step",
        rate_per_s=step.rate_per_s,
        duration_s=step.duration_s,
        p99_ms=step.latency_p99_ms,
        error_ratio=step.error_ratio,
        fate=fate,
    )
