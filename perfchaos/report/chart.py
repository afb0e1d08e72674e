"""
Charts as SVG: pure functions from numbers to markup.

Colours are the page's CSS variables, so a chart follows its light or dark theme.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 880, 220
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 18, 26
_CHARACTER_WIDTH = 7  # of the names' font, generously


@dataclass(frozen=True, slots=True, kw_only=True)
class Shade:
    """A stretch of time to set off, with the word that names it."""

    start_s: float
    end_s: float
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A series drawn as a filled step, one value a second; layers are stacked in order."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A series drawn as a line, one value a second; None leaves a gap."""

    name: str
    values: Sequence[float | None]


def stacked(layers: Sequence[Layer], shades: Sequence[Shade]) -> str:
    """Layers of counts per second on top of one another, from zero."""
    seconds = max((len(layer.values) for layer in layers), default=0)
    totals = [sum(layer.values[i] for layer in layers) for i in range(seconds)]
    top = _nice(max(totals, default=0))
    x = _scale(0, max(seconds, 1), LEFT, WIDTH - RIGHT)
    y = _scale(0, top, HEIGHT - BOTTOM, TOP)
    floor = [0.0] * seconds
    areas = []
    for layer in layers:
        ceiling = [low + value for low, value in zip(floor, layer.values, strict=True)]
        steps = [(x(i + d), y(v)) for i, v in enumerate(ceiling) for d in (0, 1)]
        back = [(x(i + d), y(v)) for i, v in enumerate(floor) for d in (0, 1)][::-1]
        areas.append(f'<path class="area {layer.name}" d="{_path([*steps, *back])}Z"/>')
        floor = ceiling
    ticks = [top * k / 4 for k in range(5)]
    return _frame(x, y, ticks, shades, seconds, "".join(areas))


def lines(series: Sequence[Line], shades: Sequence[Shade]) -> str:
    """Lines over a logarithmic axis: what grew a hundredfold and what doubled, in one picture."""
    seconds = max((len(line.values) for line in series), default=0)
    known = [v for line in series for v in line.values if v is not None and v > 0]
    low = math.floor(math.log10(min(known, default=1)))
    high = max(math.ceil(math.log10(max(known, default=10))), low + 1)
    x = _scale(0, max(seconds, 1), LEFT, WIDTH - RIGHT)
    linear = _scale(low, high, HEIGHT - BOTTOM, TOP)

    def y(value: float) -> float:
        return linear(math.log10(value))

    paths = []
    for line in series:
        points = [
            (x(i + 0.5), y(v)) if v is not None and v > 0 else None
            for i, v in enumerate(line.values)
        ]
        paths += [f'<path class="line {line.name}" d="{_path(run)}"/>' for run in _runs(points)]
    ticks = [10.0**power for power in range(low, high + 1)]
    return _frame(x, y, ticks, shades, seconds, "".join(paths))


type _Axis = Callable[[float], float]
type _Point = tuple[float, float]


def _frame(
    x: _Axis,
    y: _Axis,
    ticks: Sequence[float],
    shades: Sequence[Shade],
    seconds: int,
    content: str,
) -> str:
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">']
    free = float(LEFT)
    for shade in shades:
        start, end = x(max(shade.start_s, 0)), x(min(shade.end_s, seconds))
        # Above the plot, where nothing hides it; beside the one before it where that is long.
        named = max(start, free)
        free = named + len(shade.name) * _CHARACTER_WIDTH
        parts.append(
            f'<rect class="shade {escape(shade.name)}" x="{start:.1f}" y="{TOP}" '
            f'width="{max(end - start, 0):.1f}" height="{HEIGHT - TOP - BOTTOM}"/>'
            f'<text class="phase" x="{named:.1f}" y="{TOP - 5}">{escape(shade.name)}</text>'
        )
    for tick in ticks:
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" '
            f'y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
            f'<text class="tick end" x="{LEFT - 6}" y="{y(tick) + 4:.1f}">{tick:g}</text>'
        )
    step = max(1, math.ceil(seconds / 10 / 5) * 5)
    parts += [
        f'<text class="tick middle" x="{x(second):.1f}" y="{HEIGHT - 8}">{second} s</text>'
        for second in range(0, seconds + 1, step)
    ]
    return "".join([*parts, content, "</svg>"])


def _scale(low: float, high: float, first: float, last: float) -> _Axis:
    return lambda value: first + (value - low) / (high - low) * (last - first)


def _nice(value: float) -> float:
    """The next of 1, 2, 4, 5, 8, 10 times a power of ten: four equal steps read well."""
    if value <= 0:
        return 1
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if value <= step * power)


def _path(points: Sequence[_Point]) -> str:
    return "M" + "L".join(f"{a:.1f},{b:.1f}" for a, b in points) if points else "M0,0"


def _runs(points: Sequence[_Point | None]) -> list[list[_Point]]:
    """The stretches without a gap."""
    found: list[list[_Point]] = [[]]
    for point in points:
        if point is None:
            found.append([])
        else:
            found[-1].append(point)
    return [stretch for stretch in found if stretch]
