"""The verdict on a terminal."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from perfchaos.report.rows import phases_of, rows_of, why_of
from perfchaos.report.wording import name_of, not_asked_in_words, race_in_words, value_of
from perfchaos.run import RunDirectory
from perfchaos.verdict import (
    Band,
    FaultReport,
    Judgement,
    LedgerReport,
    Status,
    Verdict,
    advise_on,
    counted,
    worst,
)

STYLES = {
    Band.EXCELLENT: "bold green",
    Band.GOOD: "green",
    Band.WARN: "yellow",
    Band.UNKNOWN: "magenta",
    Band.CRITICAL: "bold red",
}


def print_summary(verdict: Verdict, directory: RunDirectory, console: Console) -> None:
    """Print what was measured in each phase, how it was judged, and what to do about it."""
    console.print()
    console.print(_headline(verdict))
    _print_lines(console, verdict.reasons, style="red")
    if verdict.judgements:
        console.print(_table(verdict.judgements))
    _print_lines(console, [_fault_line(fault) for fault in verdict.faults])
    if verdict.ledger:
        _print_lines(console, [_ledger_line(verdict.ledger)])
    _print_lines(console, not_asked_in_words(verdict.not_asked), style="dim")
    if verdict.race:
        _print_lines(console, [f"race: {race_in_words(verdict.race)}"])
    _print_lines(console, _advice(verdict), style="yellow")
    _print_lines(console, [f"report:  {directory.report}", f"verdict: {directory.verdict}"])


def _print_lines(console: Console, lines: Iterable[str], *, style: str = "") -> None:
    """Lines that the terminal may wrap, and a file need not."""
    for line in lines:
        console.print(Text(f"  {line}", style=style), soft_wrap=True)


def _headline(verdict: Verdict) -> Text:
    line = Text(f"{verdict.experiment} · {verdict.target} · ")
    if verdict.status is not Status.COMPLETED:
        line.append(f"{verdict.status.value} · ", style="bold red")
    line.append(verdict.band.value.upper(), style=STYLES[verdict.band])
    return line


def _table(judgements: Sequence[Judgement]) -> Table:
    """One row a measurement, one column a phase; then what kept it from being known, told once."""
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("", no_wrap=True)
    phases = phases_of(judgements)
    for phase in (*phases, None):
        table.add_column(phase.value if phase else "whole run", justify="right")
    table.add_column("band", no_wrap=True)
    rows = rows_of(judgements)
    if any(why_of(row) for row in rows.values()):
        table.add_column("")
    told: set[str] = set()
    for name, row in rows.items():
        band = worst(judgement.band for judgement in counted(row.values()))
        cells = [_cell(row.get(phase)) for phase in (*phases, None)]
        why = why_of(row)
        told_why = "as above" if why and why in told else why
        told.add(why)
        shown = [*cells, Text(band.value, style=STYLES[band]), Text(told_why)]
        table.add_row(name, *shown[: len(table.columns) - 1])
    return table


def _cell(judgement: Judgement | None) -> Text:
    if judgement is None:
        return Text()
    return Text(value_of(judgement), style=STYLES[judgement.band])


def _fault_line(fault: FaultReport) -> str:
    if fault.in_force_after_ms is not None:
        seen = f"seen in force after {fault.in_force_after_ms:.0f} ms"
    else:
        seen = fault.seen or "never seen in force"
    if fault.normal_after_ms is not None:
        healed = f"back to normal {fault.normal_after_ms:.0f} ms after the heal"
    elif fault.healed_at_s is not None:
        healed = "healed, as read back"
    else:
        healed = "not healed by the run"
    past = f"; not touched, past the proxy: {fault.bypassed_by}" if fault.bypassed_by else ""
    return f"fault: {fault.dependency} {fault.kind} ({fault.mechanism}), {seen}, {healed}{past}"


def _ledger_line(ledger: LedgerReport) -> str:
    of = "" if ledger.whole_run else " of the baseline"
    lost = f"{ledger.missing:,} {'not found' if ledger.doubt else 'lost'}"
    return (
        f"ledger{of}: {ledger.acked:,} acknowledged, {lost}, "
        f"{ledger.waiting:,} still waiting, "
        f"{ledger.duplicated:,} twice, {ledger.phantom:,} refused yet done, "
        f"{ledger.recovered:,} of {ledger.indeterminate:,} indeterminate done"
    )


def _advice(verdict: Verdict) -> list[str]:
    """What to do about all that is not well: each action once, each remedy under the first."""
    about: dict[str, dict[str, None]] = {}
    remedies: dict[str, list[str]] = {}
    told: set[str] = set()
    for judgement in counted(verdict.judgements):
        if judgement.band.severity < Band.WARN.severity:
            continue
        action, *others = advise_on(judgement, verdict) or (None,)
        if action is not None:
            about.setdefault(action, {})[name_of(judgement.measurement)] = None
            lines = remedies.setdefault(action, [])
            lines += [f"    {remedy}" for remedy in others if remedy not in told]
            told.update(others)
    return [
        line
        for action, names in about.items()
        for line in (f"→ {', '.join(names)}: {action}", *remedies[action])
    ]
