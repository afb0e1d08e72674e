"""The verdict as one page of HTML that needs nothing beside it."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from perfchaos.figures import amount
from perfchaos.recording import Recording, Second
from perfchaos.report import wording
from perfchaos.report.chart import Layer, Line, Shade, lines, stacked
from perfchaos.report.rows import phases_of, rows_of, why_of
from perfchaos.run import RunDirectory
from perfchaos.timeline import Event, Timeline
from perfchaos.verdict import Judgement, Verdict, advise_on, counted, worst


def write_page(verdict: Verdict, directory: RunDirectory, recording: Recording) -> None:
    """Write the report of one run into its directory."""
    environment = Environment(
        loader=PackageLoader("perfchaos.report", "."), autoescape=True, undefined=StrictUndefined
    )
    whole = recording.whole()
    seconds = whole.per_second()[: int(whole.duration_s)]  # Half a second would look like a drop.
    origin_s = (whole.start_ns - verdict.started_ns) / 1e9
    shades = _shades(verdict, origin_s, len(seconds))
    page = environment.get_template("page.html.j2").render(
        verdict=verdict,
        rows=_rows(verdict),
        phases=phases_of(verdict.judgements),
        wording=wording,
        amount=amount,
        advice=_advice(verdict),
        requests_chart=_requests(seconds, shades),
        latency_chart=_latency(seconds, shades),
        events=_events(Timeline(directory.timeline).events(), verdict.started_ns),
    )
    directory.report.write_text(page, encoding="utf-8")


def _rows(verdict: Verdict) -> list[dict[str, object]]:
    """One row a measurement: its name, its judgement in each phase, its worst band."""
    phases = (*phases_of(verdict.judgements), None)
    return [
        {
            "name": name,
            "cells": [row.get(phase) for phase in phases],
            "band": worst(judgement.band for judgement in counted(row.values())),
            "why": why_of(row),
            "any": next(iter(row.values())),
        }
        for name, row in rows_of(verdict.judgements).items()
    ]


def _advice(verdict: Verdict) -> list[tuple[Judgement, tuple[str, ...]]]:
    told = [(judgement, advise_on(judgement, verdict)) for judgement in counted(verdict.judgements)]
    return [(judgement, lines) for judgement, lines in told if lines]


def _shades(verdict: Verdict, origin_s: float, seconds: int) -> list[Shade]:
    return [
        Shade(
            start_s=(span.start_ns - verdict.started_ns) / 1e9 - origin_s,
            end_s=(span.end_ns - verdict.started_ns) / 1e9 - origin_s if span.end_ns else seconds,
            name=span.phase.value,
        )
        for span in verdict.spans
    ]


def _requests(seconds: tuple[Second, ...], shades: list[Shade]) -> str:
    layers = [
        Layer(name="acked", values=[second.acked_count for second in seconds]),
        Layer(name="refused", values=[second.refused_count for second in seconds]),
        Layer(name="indeterminate", values=[second.indeterminate_count for second in seconds]),
        Layer(name="dropped", values=[second.dropped_count for second in seconds]),
    ]
    return stacked(layers, shades)


def _latency(seconds: tuple[Second, ...], shades: list[Shade]) -> str:
    series = [
        Line(name="p50", values=[second.latency_p50_ms for second in seconds]),
        Line(name="p99", values=[second.latency_p99_ms for second in seconds]),
    ]
    return lines(series, shades)


def _events(events: tuple[Event, ...], started_ns: int) -> list[tuple[str, str, str]]:
    """Each event as its second, its name and its facts in words."""
    return [
        (
            f"{(event.at_ns - started_ns) / 1e9:.3f}",
            event.name,
            ", ".join(f"{key} {value}" for key, value in event.facts.items()),
        )
        for event in events
    ]
