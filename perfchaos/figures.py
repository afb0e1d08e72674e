"""
How figures read, everywhere: with as many digits as tell something, and never more than is so.

Rounding must not change what a figure says. A value that misses a limit never reads like one that
keeps it, what is not none never reads like none, and what is not all never like all.
"""

import math
from collections.abc import Iterable

_DIGITS = 3
_DIGITS_MAX = 17
"""More than these tell no two floating-point numbers apart."""


def amount(value: float | None, unit: str, *, apart_from: Iterable[float] = ()) -> str:
    """A value with its unit, on the same side of every limit in `apart_from` as it is itself."""
    if value is None:
        return "–"
    if unit == "ratio":
        limits = [limit * 100 for limit in (0, 1, *apart_from)]
        return f"{number(value * 100, apart_from=limits)} %"
    return _with_unit(number(value, apart_from=apart_from), unit)


def as_written(value: float, unit: str) -> str:
    """A limit with its unit: it was written by a person, and reads as it was written."""
    return f"{value * 100:,.12g} %" if unit == "ratio" else _with_unit(f"{value:,.12g}", unit)


def number(value: float, *, apart_from: Iterable[float] = ()) -> str:
    """
    Three significant digits without idle zeroes: 0.04, 1.25, 31.5, 1,204.

    More where fewer would put it on another side of one of `apart_from`.
    """
    if not math.isfinite(value):
        return f"{value:g}"
    others = [0.0, *apart_from]
    for digits in range(_DIGITS, _DIGITS_MAX):
        text = _rounded(value, digits)
        shown = float(text.replace(",", ""))
        if all(_side(shown, other) == _side(value, other) for other in others):
            return text
    return f"{value:,}"


def _with_unit(text: str, unit: str) -> str:
    match unit:
        case "messages" | "consumers" | "sessions" | "clients" | "":  # Its name says of what.
            return text
        case "times":
            return f"{text}x"
        case "1/s":
            return f"{text} /s"
        case _:
            return f"{text} {unit}"


def _rounded(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _side(value: float, other: float) -> int:
    return (value > other) - (value < other)
