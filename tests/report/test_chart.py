"""Charts: what is drawn where."""

import re
from xml.etree import ElementTree as ET

import pytest

from perfchaos.report.chart import HEIGHT, LEFT, RIGHT, WIDTH, Layer, Line, Shade, lines, stacked


def paths(svg: str, kind: str) -> list[str]:
    return [
        path.attrib["d"] for path in ET.fromstring(svg).iter("path") if kind in path.attrib["class"]
    ]


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path)]


def test_layers_stand_on_one_another() -> None:
    svg = stacked([Layer(name="acked", values=[10, 10]), Layer(name="refused", values=[0, 10])], [])
    acked, refused = (points(path) for path in paths(svg, "area"))
    assert min(y for _, y in acked) > min(y for _, y in refused)
    assert refused[-1][1] == acked[0][1]  # The floor of the second is the ceiling of the first.


def test_a_gap_stays_a_gap() -> None:
    svg = lines([Line(name="p99", values=[1.0, 2.0, None, 4.0, 5.0])], [])
    assert len(paths(svg, "line")) == 2


@pytest.mark.parametrize("values", [[], [0.0], [None], [5.0]])
def test_little_or_nothing_is_drawn_without_fail(values: list[float | None]) -> None:
    ET.fromstring(lines([Line(name="p99", values=values)], []))
    ET.fromstring(stacked([Layer(name="acked", values=[v or 0 for v in values])], []))


def test_everything_stays_within_the_frame() -> None:
    shades = [Shade(start_s=-5, end_s=500, name="outage")]
    svg = lines([Line(name="p99", values=[0.01, 100_000.0])], shades)
    for path in paths(svg, "line"):
        assert all(LEFT <= x <= WIDTH - RIGHT and 0 <= y <= HEIGHT for x, y in points(path))
    (shade,) = (r for r in ET.fromstring(svg).iter("rect"))
    assert float(shade.attrib["x"]) >= LEFT
    assert float(shade.attrib["width"]) <= WIDTH - LEFT - RIGHT


def test_names_are_escaped() -> None:
    svg = stacked([Layer(name="acked", values=[1])], [Shade(start_s=0, end_s=1, name="<b>")])
    assert "<b>" not in svg


def test_names_of_short_phases_do_not_lie_on_one_another() -> None:
    shades = [
        Shade(start_s=0, end_s=10, name="baseline"),
        Shade(start_s=10, end_s=10.2, name="outage"),
        Shade(start_s=10.2, end_s=20, name="recovery"),
    ]
    svg = lines([Line(name="p99", values=[1.0] * 20)], shades)
    named = [t for t in ET.fromstring(svg).iter("text") if t.attrib["class"] == "phase"]
    baseline, outage, recovery = (float(text.attrib["x"]) for text in named)
    assert baseline < outage
    assert recovery - outage >= 40
