"""A part of the benchmark's report: a table, and the bars it is held against."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One promise, and what was measured; both in words with their units."""

    promise: str
    measured: str
    met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What one benchmark has to say."""

    title: str
    method: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    bars: tuple[Bar, ...]

    def markdown(self) -> str:
        """The section as Markdown."""
        lines = [f"## {self.title}", "", self.method, "", _row(self.columns)]
        lines.append(_row(["---"] * len(self.columns)))
        lines += [_row(row) for row in self.rows]
        if self.bars:
            lines += ["", _row(("bar", "measured", "")), _row(["---"] * 3)]
            lines += [
                _row((b.promise, b.measured, "met" if b.met else "**missed**")) for b in self.bars
            ]
        return "\n".join(lines) + "\n"


def at_most(promise: str, value: float, limit: float, unit: str = "") -> Bar:
    """A bar for something that is better when smaller."""
    return Bar(
        promise=f"{promise} ≤ {limit:g}{unit}", measured=f"{value:.3g}{unit}", met=value <= limit
    )


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
