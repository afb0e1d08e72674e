"""The thresholds of one measurement."""

import math
from dataclasses import dataclass
from enum import StrEnum

from perfchaos.errors import InvalidInput
from perfchaos.verdict.band import Band


class Better(StrEnum):
    """Which way a measurement improves."""

    LOWER = "at most"
    HIGHER = "at least"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    Ordered limits on one measurement, in its own unit.

    A value is in the first band whose limit it keeps, and critical when it keeps none. Equality
    belongs to the better band. A band without a limit is left out: with `good` alone a value is
    either good or critical. `samples_min` is how many samples it takes to prove anything.

    Raises:
        InvalidInput: no limit is given, they are out of order, or one is not a finite number.

    """

    better: Better
    excellent: float | None = None
    good: float | None = None
    warn: float | None = None
    samples_min: int = 1

    def __post_init__(self) -> None:
        """Refuse limits that could judge everything, nothing, or the wrong way round."""
        named = {"excellent": self.excellent, "good": self.good, "warn": self.warn}
        given = {name: limit for name, limit in named.items() if limit is not None}
        mistakes = [
            f"{name} is {limit!r}, not a finite number"
            for name, limit in given.items()
            if isinstance(limit, bool)
            or not isinstance(limit, int | float)
            or not math.isfinite(limit)
        ]
        if not given:
            mistakes.append("none of excellent, good and warn is given")
        if isinstance(self.samples_min, bool) or not isinstance(self.samples_min, int):
            mistakes.append(f"samples_min is {self.samples_min!r}, not a whole number")
        elif self.samples_min < 1:
            mistakes.append("samples_min is below 1: no data would pass")
        ordered = (
            sorted(given.values(), key=float, reverse=self.better is Better.HIGHER)
            if not mistakes
            else []
        )
        if ordered and ordered != list(given.values()):
            mistakes.append(f"{', '.join(given)} must go from strict to lenient")
        if mistakes:
            raise InvalidInput(
                "the threshold", mistakes, next_step="correct the tolerance in the experiment"
            )

    def judge(self, value: float | None, *, samples: int) -> Band:
        """The band of `value`; unknown when it is missing, NaN, or rests on too few samples."""
        if value is None or math.isnan(value) or samples < self.samples_min:
            return Band.UNKNOWN  # No data is not good news.
        for band, limit in (
            (Band.EXCELLENT, self.excellent),
            (Band.GOOD, self.good),
            (Band.WARN, self.warn),
        ):
            if limit is not None and self._keeps(value, limit):
                return band
        return Band.CRITICAL

    def _keeps(self, value: float, limit: float) -> bool:
        return value <= limit if self.better is Better.LOWER else value >= limit
