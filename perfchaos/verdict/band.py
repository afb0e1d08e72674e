"""The bands a measurement can fall in, and the worst of several."""

from collections.abc import Iterable
from enum import StrEnum


class Band(StrEnum):
    """
    How good a measurement is, from best to worst.

    Unknown is worse than a warning and better than a proven failure: it fails the run, because
    the absence of bad news is not good news, but it does not hide a measurement that is critical.
    """

    EXCELLENT = "excellent"
    GOOD = "good"
    WARN = "warn"
    UNKNOWN = "unknown"
    CRITICAL = "critical"

    @property
    def severity(self) -> int:
        """0 for excellent, rising to 4 for critical."""
        return list(Band).index(self)

    @property
    def passes(self) -> bool:
        """Whether a run may end well with this band."""
        return self.severity <= Band.WARN.severity


def worst(bands: Iterable[Band]) -> Band:
    """The most severe of `bands`; of nothing, unknown."""
    return max(bands, key=lambda band: band.severity, default=Band.UNKNOWN)
