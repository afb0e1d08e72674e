"""`perfchaos matrix`: what each failure of each dependency did to the target."""

import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from perfchaos.errors import PerfchaosError
from perfchaos.figures import amount
from perfchaos.places import runs_dir
from perfchaos.report.matrix import Cell, Effect, read_verdicts
from perfchaos.report.matrix import matrix as matrix_of

_STYLES = {
    Effect.AVAILABLE: "green",
    Effect.DEGRADED: "yellow",
    Effect.UNKNOWN: "magenta",
    Effect.LOST: "bold red",
}


@click.command()
@click.argument("runs", type=click.Path(path_type=Path, file_okay=False), required=False)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def matrix(runs: Path | None, *, as_json: bool) -> None:
    """
    Show what each failure of each dependency did to the target: available, degraded or lost.

    It is made from the verdicts in RUNS, by default those of this folder; of several runs of an
    experiment the newest counts.
    """
    place = runs or runs_dir()
    cells = matrix_of(read_verdicts(place))
    if not cells:
        raise PerfchaosError(
            f"no run in {place} has harmed anything",
            next_step="run an experiment first, or name the folder that holds the runs",
        )
    if as_json:
        click.echo(json.dumps([cell.as_dict() for cell in cells], indent=2))
    else:
        Console().print(_table(cells))


def _table(cells: Sequence[Cell]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for heading in ("target", "dependency", "failure mode", "the target is"):
        table.add_column(heading)
    for heading in ("not acknowledged", "p99", "lost", "waiting"):
        table.add_column(heading, justify="right")
    table.add_column("run")
    for cell in cells:
        table.add_row(
            cell.target,
            cell.dependency,
            cell.mode,
            Text(cell.effect, style=_STYLES[cell.effect]),
            amount(cell.error_ratio, "ratio"),
            amount(cell.latency_p99_ms, "ms"),
            amount(cell.lost, "messages"),
            amount(cell.waiting, "messages"),
            cell.run_id,
        )
    return table
