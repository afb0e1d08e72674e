"""
When requests are due: pure functions of a shape, a seed and the number of the request.

A shape is a line of stages, each with a rate that runs straight from one value to another. The
k-th arrival is due when the area under that line reaches k. Poisson arrivals use the same line,
but reach it with exponentially distributed steps instead of whole ones (time rescaling: Daley and
Vere-Jones, *An Introduction to the Theory of Point Processes*, section 7.4), so the seed alone
decides the pattern.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Self

RATE_MAX_PER_S = 200_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stretch of time whose rate runs linearly; `duration_s=None` lasts until stopped."""

    duration_s: float | None
    start_per_s: float
    end_per_s: float

    def mistakes(self, *, is_last: bool) -> list[str]:
        """What is wrong with it, in words."""
        found = [
            f"a rate of {rate:g}/s is not between 0 and {RATE_MAX_PER_S:,.0f}"
            for rate in dict.fromkeys((self.start_per_s, self.end_per_s))
            if not 0 <= rate <= RATE_MAX_PER_S
        ]
        if self.duration_s is None:
            if not is_last:
                found.append("only the last stage may go on until stopped")
            if self.start_per_s != self.end_per_s:
                found.append("a ramp needs a duration")
            elif not self.end_per_s:
                found.append("a stage that goes on until stopped needs a rate above 0")
        elif not 0 < self.duration_s < math.inf:
            found.append(f"a duration of {self.duration_s:g} s is not positive")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """
    The open model: arrivals that wait for nobody.

    Evenly spaced, or as a Poisson process of the same mean rate.
    """

    stages: tuple[Stage, ...]
    poisson: bool = False

    @classmethod
    def constant(
        cls, rate_per_s: float, *, duration_s: float | None = None, poisson: bool = False
    ) -> Self:
        """One rate, for ever or for a while."""
        stage = Stage(duration_s=duration_s, start_per_s=rate_per_s, end_per_s=rate_per_s)
        return cls(stages=(stage,), poisson=poisson)

    @property
    def duration_s(self) -> float | None:
        """How long the stages last together; None if the last one has no end."""
        durations = [stage.duration_s for stage in self.stages]
        if None in durations:
            return None
        return sum(duration for duration in durations if duration is not None)

    def mistakes(self) -> list[str]:
        """What is wrong with this shape, in words; empty when it can be sent."""
        if not self.stages:
            return ["arrivals need at least one stage"]
        found = [
            f"stage {number}: {mistake}"
            for number, stage in enumerate(self.stages, start=1)
            for mistake in stage.mistakes(is_last=number == len(self.stages))
        ]
        if not found and not any(s.start_per_s or s.end_per_s for s in self.stages):
            found.append("no stage has a rate above 0")
        return found


def offsets_ns(arrivals: Arrivals, *, seed: int) -> Iterator[int]:
    """The offsets at which requests 0, 1, 2 … are due, ascending; ends with the stages."""
    areas = _exponential_areas(seed) if arrivals.poisson else count()
    area: float = next(areas)
    start_s, before = 0.0, 0.0  # where the stage begins, and the area before it
    for stage in arrivals.stages:
        low, high, duration_s = stage.start_per_s, stage.end_per_s, stage.duration_s
        inside = math.inf if duration_s is None else (low + high) / 2 * duration_s
        while area < before + inside:
            yield int((start_s + _time_at(area - before, low, high, duration_s)) * 1e9)
            area = next(areas)
        if duration_s is None:
            return
        start_s += duration_s
        before += inside


def _time_at(area: float, low: float, high: float, duration_s: float | None) -> float:
    """Seconds into a stage at which the area under its rate reaches `area`."""
    if not area:
        return 0.0
    if low == high or duration_s is None:
        return area / low
    slope = (high - low) / duration_s
    # The root of low*t + slope/2*t² = area, in the form that does not cancel for small slopes.
    return 2 * area / (low + math.sqrt(max(low * low + 2 * slope * area, 0.0)))


def _exponential_areas(seed: int) -> Iterator[float]:
    draw = random.Random(f"perfchaos arrivals {seed}").random  # noqa: S311 - reproducible
    area = 0.0
    while True:
        area -= math.log(1.0 - draw())
        yield area
