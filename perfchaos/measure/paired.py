"""The mean difference of paired repeats with its 95 % interval."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# Two-sided 95 % quantiles of Student's t for 1, 2, … 30 degrees of freedom.
_T95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Second minus first of each pair: the mean, and the 95 % interval it lies in."""

    mean: float
    low: float
    high: float
    pairs: int


def difference(pairs: Sequence[tuple[float, float]]) -> Difference | None:
    """
    The mean of `second - first` with Student's interval; None for fewer than two pairs.

    Pairing takes out what both of a pair suffered from, a busy minute of the machine. Beyond 31
    pairs the quantile for 31 is taken, which is a little too wide.
    """
    if len(pairs) < 2:
        return None
    differences = [second - first for first, second in pairs]
    mean = statistics.fmean(differences)
    freedom = min(len(pairs) - 1, len(_T95))
    half = _T95[freedom - 1] * statistics.stdev(differences) / math.sqrt(len(pairs))
    return Difference(mean=mean, low=mean - half, high=mean + half, pairs=len(pairs))
