"""
The greatest rate at which a target still keeps its promises.

Doubling until the promises break, then bisection on whether they held (not on the rate that came
through: above capacity that is only the speed of falling behind), then a long hold at what was
found. The search is a pure function of what one step gives; it knows nothing of processes.

A rate counts as broken only when it broke twice running: a single stall of a shared machine must
not halve the answer. Where a hold breaks, holds go down in strides that double until one holds, and
bisection closes in between the two: a target that keeps its promises for a short step only has a
capacity all the same.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from perfchaos.workload.arrivals import RATE_MAX_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """One promise broken during a step."""

    promise: str
    value: float | None
    first_s: int
    """The second of the step in which it was first broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    One rate, held for a while, and what came of it.

    `breaches` are in the order in which they began. With `unsound` reasons the generator itself
    fell behind, and the step says nothing about the target.
    """

    rate_per_s: float
    duration_s: float
    latency_p99_ms: float | None
    error_ratio: float | None
    breaches: tuple[Breach, ...]
    unsound: tuple[str, ...] = ()

    @property
    def held(self) -> bool:
        """Every promise was kept, as far as a sound generator could see."""
        return not self.breaches and not self.unsound


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """How to search. The default ends within about three minutes for capacities up to 25,600/s."""

    start_per_s: float = 50.0
    max_per_s: float = 25_600.0
    min_per_s: float = 1.0
    precision_ratio: float = 0.04
    """The search ends when the interval is this wide, relative to its lower end."""
    step_s: float = 5.0
    hold_s: float = 15.0

    def mistakes(self) -> list[str]:
        """What is wrong with it, in words."""
        found = []
        if not 0 < self.min_per_s <= self.start_per_s <= self.max_per_s <= RATE_MAX_PER_S:
            found.append(
                f"rates must be 0 < least {self.min_per_s:g} <= start {self.start_per_s:g}"
                f" <= greatest {self.max_per_s:g} <= {RATE_MAX_PER_S:,.0f}"
            )
        if not 0.001 <= self.precision_ratio <= 1:
            found.append(f"precision_ratio {self.precision_ratio:g} is not between 0.001 and 1")
        if not (self.step_s >= 1 and self.hold_s >= 1):
            found.append("a step and the hold last one second at least")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """
    What the search found.

    `held_per_s` was confirmed by a hold (None: no rate was). `broke_per_s` is the lowest rate
    above it that broke, `first_breach` what gave way there first. Without them the capacity is at
    least `held_per_s`: the search ended at its greatest rate, or, with reasons in
    `generator_limit`, at the generator's own.
    """

    held_per_s: float | None
    broke_per_s: float | None
    first_breach: Breach | None
    generator_limit: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def held_briefly_per_s(self) -> float | None:
        """The greatest rate that held for any step, however short; None if none did."""
        return max((step.rate_per_s for step in self.steps if step.held), default=None)

    def in_words(self) -> str:
        """What is known, in one line: what held, what broke, and what gave way first."""
        if self.held_per_s is not None:
            parts = [f"≥ {_per_s(self.held_per_s)} held"]
        elif (briefly := self.held_briefly_per_s) is not None:
            parts = [f"no rate held for long; {_per_s(briefly)} held for a short step"]
        else:
            parts = ["no rate held"]
        if self.broke_per_s is not None and self.first_breach is not None:
            parts.append(f"broke at {_per_s(self.broke_per_s)}")
            parts.append(f"{self.first_breach.promise} first")
        elif self.generator_limit:
            parts.append(f"the generator's own limit: {self.generator_limit[0]}")
        elif self.held_per_s is not None:
            parts.append("and the search went no further")
        return ", ".join(parts)


def _per_s(rate: float) -> str:
    return f"{rate:,.1f}".removesuffix(".0") + "/s"


RunStep = Callable[[float, float], Step]


def find_capacity(run_step: RunStep, plan: SearchPlan) -> Capacity:
    """
    Searches with `run_step(rate_per_s, duration_s)`, one step after the other.

    `run_step` lets the target come to rest before it begins.
    """
    search = _Search(run_step, plan)
    held_per_s, top_per_s = search.bracket()
    if held_per_s is not None and top_per_s is not None:
        held_per_s = search.narrow(held_per_s, top_per_s, search.holds)
    if held_per_s is not None:
        held_per_s = search.confirm(held_per_s)
    return _concluded(held_per_s, tuple(search.steps))


class _Search:
    def __init__(self, run_step: RunStep, plan: SearchPlan) -> None:
        self.steps: list[Step] = []
        self._run_step, self._plan = run_step, plan

    def bracket(self) -> tuple[float | None, float | None]:
        """Doubles while it holds, else halves until it does: a rate that held, one that did not."""
        plan = self._plan
        rate = min(plan.start_per_s, plan.max_per_s)
        if self.holds(rate):
            while rate < plan.max_per_s:
                further = min(rate * 2, plan.max_per_s)
                if not self.holds(further):
                    return rate, further
                rate = further
            return rate, None
        while rate > plan.min_per_s:
            lower = max(rate / 2, plan.min_per_s)
            if self.holds(lower):
                return lower, rate
            rate = lower
        return None, rate

    def narrow(self, held_per_s: float, top_per_s: float, holds: Callable[[float], bool]) -> float:
        """Bisects, by ratio, between a rate that held and one that did not."""
        # A hair of tolerance: two rates one precision apart need no further look between them.
        while top_per_s / held_per_s > (1 + self._plan.precision_ratio) * (1 + 1e-9):
            middle = math.sqrt(held_per_s * top_per_s)
            if holds(middle):
                held_per_s = middle
            else:
                top_per_s = middle
        return held_per_s

    def confirm(self, held_per_s: float) -> float | None:
        """The greatest rate that holds for long, to the precision; None if not even the least."""
        if self._endures(held_per_s):
            return held_per_s
        top_per_s, stride = held_per_s, 1 + self._plan.precision_ratio
        while top_per_s > self._plan.min_per_s:
            lower = max(top_per_s / stride, self._plan.min_per_s)
            if self._endures(lower):
                return self.narrow(lower, top_per_s, self._endures)
            top_per_s, stride = lower, stride**2
        return None

    def holds(self, rate_per_s: float) -> bool:
        """Whether it holds for a short step; it broke only if it did twice running."""
        return any(self._take(rate_per_s, self._plan.step_s).held for _ in range(2))

    def _endures(self, rate_per_s: float) -> bool:
        return self._take(rate_per_s, self._plan.hold_s).held

    def _take(self, rate_per_s: float, duration_s: float) -> Step:
        step = self._run_step(rate_per_s, duration_s)
        self.steps.append(step)
        return step


def _concluded(held_per_s: float | None, steps: tuple[Step, ...]) -> Capacity:
    """What the steps prove: the lowest rate above the held one that did not hold, and why."""
    failed = [step for step in steps if not step.held and step.rate_per_s > (held_per_s or 0.0)]
    lowest = min(failed, key=lambda step: step.rate_per_s, default=None)
    broke = lowest is not None and not lowest.unsound
    return Capacity(
        held_per_s=held_per_s,
        broke_per_s=lowest.rate_per_s if lowest is not None and broke else None,
        first_breach=lowest.breaches[0] if lowest is not None and broke else None,
        generator_limit=lowest.unsound if lowest is not None else (),
        steps=steps,
    )
