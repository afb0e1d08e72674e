"""The thresholds of one measurement."""

import math
from dataclasses import dataclass
from enum import StrEnum

from perfchaos.errors import InvalidInput
from perfchaos.verdict.band import Band

CONFIDENCE = 0.95
NONE_ALLOWED = 0.01
"""What is to be proven at least where no limit allows any."""


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
    either good or critical.

    `samples_min` is how many samples it takes to know anything; one, where it is not given. A share
    is called good or excellent only if its samples can prove that limit (`samples_to_prove`), and
    where `samples_min` is not given no band at all without proof.

    Raises:
        InvalidInput: no limit is given, they are out of order, or one is not a finite number.

    """

    better: Better
    excellent: float | None = None
    good: float | None = None
    warn: float | None = None
    samples_min: int | None = None

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
        if self.samples_min is None:
            pass
        elif isinstance(self.samples_min, bool) or not isinstance(self.samples_min, int):
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

    def judge(self, value: float | None, *, samples: int, share: bool = False) -> Band:
        """
        The band of `value`; unknown when it is missing, NaN, or rests on too few samples.

        The value of a `share` is in the strictest band whose limit it keeps and its samples can
        prove. What breaks every limit is critical whatever was to be proven.
        """
        if value is None or math.isnan(value) or samples < (self.samples_min or 1):
            return Band.UNKNOWN  # No data is not good news.
        kept = [band for band, limit in self._given() if self._keeps(value, limit)]
        proven = (band for band in kept if samples >= self.samples_for(band, share=share))
        return next(proven, Band.UNKNOWN if kept else Band.CRITICAL)

    def samples_for(self, band: Band, *, share: bool) -> int:
        """How many samples it takes to be in `band`, which has a limit."""
        least = self.samples_min or 1
        if not share or (band is Band.WARN and self.samples_min is not None):
            return least
        given = self._given()
        start = next(place for place, (named, _) in enumerate(given) if named is band)
        # None at all is more than samples can prove: then it is what the next limit takes.
        allowed = (self._allowed(limit) for _, limit in given[start:])
        return max(least, samples_to_prove(next((one for one in allowed if one > 0), NONE_ALLOWED)))

    def samples_to_pass(self, *, share: bool) -> int:
        """How many samples it takes to be in any band that passes."""
        return min(self.samples_for(band, share=share) for band, _ in self._given())

    def _given(self) -> list[tuple[Band, float]]:
        """The bands that have a limit, from strict to lenient."""
        named = (
            (Band.EXCELLENT, self.excellent),
            (Band.GOOD, self.good),
            (Band.WARN, self.warn),
        )
        return [(band, limit) for band, limit in named if limit is not None]

    def _allowed(self, limit: float) -> float:
        """The share that may be otherwise."""
        return limit if self.better is Better.LOWER else 1 - limit

    def _keeps(self, value: float, limit: float) -> bool:
        return value <= limit if self.better is Better.LOWER else value >= limit


def samples_to_prove(allowed_ratio: float) -> int:
    """
    How many samples in a row, none of them otherwise, prove that at most `allowed_ratio` are.

    With 95 % confidence: were there more, one would have been among so many.
    """
    if allowed_ratio >= 1:
        return 1
    return math.ceil(math.log1p(-CONFIDENCE) / math.log1p(-allowed_ratio))
