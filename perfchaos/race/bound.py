"""
How much a count of successes says about the rate behind it.

Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the
binomial", Biometrika 26 (1934), 404-413: the exact bounds, found here by bisecting the tail of
the binomial distribution. They are never too tight, whatever the rate.
"""

import math
from collections.abc import Callable

_BISECTIONS = 60  # halve the interval from 1 to below the resolution of a double near 1


def upper_bound(count: int, total: int, *, confidence: float = 0.95) -> float:
    """
    The rate that is not exceeded, with this confidence, when `count` of `total` were seen.

    One-sided; for a count of 0 it is 1 - (1 - confidence)^(1 / total). 1.0 for a total of 0:
    nothing seen excludes nothing. Raises ValueError unless 0 <= count <= total.
    """
    _check(count, total)
    if count == total:
        return 1.0
    if count == 0:
        return -math.expm1(math.log(1.0 - confidence) / total)
    # The rate at which seeing so few would be just that unlikely.
    return _bisect(lambda rate: _at_most(count, total, rate) > 1.0 - confidence)


def lower_bound(count: int, total: int, *, confidence: float = 0.95) -> float:
    """The rate that is reached at least, with this confidence; one-sided. 0.0 for a count of 0."""
    return 1.0 - upper_bound(total - count, total, confidence=confidence)


def interval(count: int, total: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """The two-sided bounds: each side is missed with half of what the confidence leaves."""
    one_sided = 1.0 - (1.0 - confidence) / 2
    low = 1.0 - upper_bound(total - count, total, confidence=one_sided)
    return low, upper_bound(count, total, confidence=one_sided)


def _check(count: int, total: int) -> None:
    if not 0 <= count <= total:
        raise ValueError(f"{count} of {total} cannot be counted")


def _bisect(is_above: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if is_above(middle):
            low = middle
        else:
            high = middle
    return high


def _at_most(count: int, total: int, rate: float) -> float:
    """P(X <= count) of a binomial distribution, summed on the shorter side."""
    if count <= total // 2:
        return _sum(range(count + 1), total, rate)
    return 1.0 - _sum(range(count + 1, total + 1), total, rate)


def _sum(counts: range, total: int, rate: float) -> float:
    log_rate, log_rest = math.log(rate), math.log1p(-rate)
    log_all = math.lgamma(total + 1)
    return math.fsum(
        math.exp(
            log_all
            - math.lgamma(k + 1)
            - math.lgamma(total - k + 1)
            + k * log_rate
            + (total - k) * log_rest
        )
        for k in counts
    )
