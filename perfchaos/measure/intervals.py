"""
The 95 % interval of a ratio of two proportions, when successes and failures come in clusters.

Method: the score interval of Koopman (1984), "Confidence intervals for the ratio of two binomial
proportions", Biometrics 40:513-517. It holds at 0 and 1 too, where fallbacks live. Its binomial
model takes each request for a draw of its own; in an outage they fail in bursts. So counts are
first divided by their design effect, after Rao and Scott (1992), "A simple method for the analysis
of clustered binary data", Biometrics 48:577-585, with the seconds of a phase as its clusters.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959964

# Far beyond any ratio that is of interest; bisection to a millionth ends within 50 steps.
_RATIO_MAX = 1e4
_PRECISION = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """Trials and successes of each cluster, as two arrays of the same length."""

    trials: NDArray[np.int64]
    successes: NDArray[np.int64]

    @property
    def proportion(self) -> float | None:
        """The successes for each trial, over all clusters; None without trials."""
        total = int(self.trials.sum())
        return int(self.successes.sum()) / total if total else None

    @property
    def design_effect(self) -> float:
        """
        How many times wider the variance of the proportion is than without clusters; at least 1.

        Of fewer than two clusters, and where all trials end alike, nothing can be learned: 1.
        """
        proportion, count = self.proportion, len(self.trials)
        if proportion is None or not 0 < proportion < 1 or count < 2:
            return 1.0
        total = self.trials.sum()
        residuals = self.successes - self.trials * proportion
        variance = count / (count - 1) * float((residuals**2).sum()) / total**2
        return max(float(variance * total / (proportion * (1 - proportion))), 1.0)

    def effective(self) -> tuple[float, float]:
        """Trials and successes, divided by the design effect."""
        effect = self.design_effect
        return float(self.trials.sum()) / effect, float(self.successes.sum()) / effect


def ratio_interval(numerator: Clusters, denominator: Clusters) -> tuple[float, float] | None:
    """
    The 95 % interval of the first proportion over the second.

    None without trials on both sides, or without a success in the denominator.
    """
    trials, successes = numerator.effective()
    base_trials, base_successes = denominator.effective()
    if not trials or not base_successes:
        return None

    def distance(ratio: float) -> float:
        return _score(ratio, trials, successes, base_trials, base_successes)

    estimate = (successes / trials) / (base_successes / base_trials)
    low = _crossing(distance, 0.0, estimate) if successes else 0.0
    high = _crossing(distance, _RATIO_MAX, estimate)
    return low, high


def _crossing(distance: Callable[[float], float], outside: float, inside: float) -> float:
    """Where the score passes the 95 % quantile, between a ratio outside and one inside."""
    while abs(outside - inside) > _PRECISION * max(1.0, inside):
        middle = (outside + inside) / 2
        if distance(middle) > Z_95**2:
            outside = middle
        else:
            inside = middle
    return inside


def _score(ratio: float, n1: float, x1: float, n2: float, x2: float) -> float:
    """
    Pearson's chi-square of the hypothesis that the first proportion is `ratio` times the second.

    The second proportion is its maximum-likelihood estimate under that hypothesis (Koopman's
    equations 2 and 3).
    """
    n = n1 + n2
    a = ratio * n
    b = -(ratio * (n1 + x2) + x1 + n2)
    c = x1 + x2
    p2 = (-b - math.sqrt(max(b * b - 4 * a * c, 0.0))) / (2 * a)
    p1 = min(ratio * p2, 1.0)
    return _term(x1, n1, p1) + _term(x2, n2, p2)


def _term(x: float, n: float, p: float) -> float:
    expected_variance = n * p * (1 - p)
    if expected_variance <= 0:
        return 0.0 if math.isclose(x, n * p, abs_tol=1e-9) else math.inf
    return (x - n * p) ** 2 / expected_variance
