"""
Pass or fail of a load, as one writes it on a command line.

    p99<500ms        a percentile of the latency from the intended instant: p50, p90, p99.9, max
    service_p99<1s   the same of the service time
    errors<1%        the share of the plan that was not acked, as percentage or as ratio
    dropped<=0       planned requests that were never sent in time
    rate>=480        acked requests per second

The comparison is one of `<`, `<=`, `>`, `>=`. What could not be measured does not pass.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from perfchaos.errors import InvalidInput
from perfchaos.recording import Window

_FORM = re.compile(r"\s*([a-z_]+)([0-9.]*)\s*(<=|>=|<|>)\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*(\S*)\s*")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Units = dict[str, str]  # decimal factors, so that "1%" is the number nearest to 0.01
_TIME_UNITS: Units = {"us": "0.001", "ms": "1", "s": "1000", "m": "60000"}
_SHARE_UNITS: Units = {"": "1", "%": "0.01"}
_PLAIN_UNITS: Units = {"": "1"}
_RATE_UNITS: Units = {"": "1", "/s": "1"}

Measure = Callable[[Window], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One comparison; `limit` is in milliseconds, a ratio, a count or a rate per second."""

    text: str
    measure: Measure
    comparison: str
    limit: float

    def judge(self, window: Window) -> "Judged":
        """The threshold held against what was measured."""
        value = self.measure(window)
        passed = value is not None and _COMPARE[self.comparison](value, self.limit)
        return Judged(text=self.text, value=value, limit=self.limit, passed=passed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A threshold with its limit, the value measured (None if there was none), and its fate."""

    text: str
    value: float | None
    limit: float
    passed: bool


def threshold(text: str) -> Threshold:
    """The threshold in words. Raises InvalidInput, saying what is wrong with it."""
    parts = _FORM.fullmatch(text)
    if parts is None:
        raise _wrong(text, "it does not read as METRIC COMPARISON LIMIT")
    name, rank, comparison, number, unit = parts.groups()
    measure, units = _measure(text, name, rank)
    if unit not in units:
        allowed = ", ".join(repr(u) for u in units if u) or "none"
        raise _wrong(text, f"unit {unit!r} does not fit {name}{rank} (allowed: {allowed})")
    limit = float(Decimal(number) * Decimal(units[unit]))
    return Threshold(text=text.strip(), measure=measure, comparison=comparison, limit=limit)


def _measure(text: str, name: str, rank: str) -> tuple[Measure, Units]:
    is_service = name.startswith("service_")
    kind = name.removeprefix("service_")
    if kind == "max" and not rank:
        return _latency(1.0, is_service=is_service), _TIME_UNITS
    if kind == "p" and re.fullmatch(r"\d{1,2}(\.\d+)?|100", rank):
        return _latency(float(rank) / 100, is_service=is_service), _TIME_UNITS
    if name == "errors" and not rank:
        return lambda window: window.error_ratio, _SHARE_UNITS
    if name == "dropped" and not rank:
        return lambda window: float(window.dropped_count), _PLAIN_UNITS
    if name == "rate" and not rank:
        return lambda window: window.rate_per_s, _RATE_UNITS
    raise _wrong(text, f"unknown metric {name + rank!r}")


def _latency(quantile: float, *, is_service: bool) -> Measure:
    if is_service:
        return lambda window: window.service_ms(quantile)
    return lambda window: window.latency_ms(quantile)


def _wrong(text: str, mistake: str) -> InvalidInput:
    return InvalidInput(
        f"threshold {text!r}", [mistake], next_step="write it like 'p99<500ms' or 'errors<1%'"
    )
