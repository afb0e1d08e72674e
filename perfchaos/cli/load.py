"""`perfchaos load`: a load on one URL, without an experiment."""

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from perfchaos.cli.load_view import summary_lines, watch
from perfchaos.cli.request_options import DURATION, RequestOptions, bundled, with_request_options
from perfchaos.errors import InvalidInput
from perfchaos.recording import Recording
from perfchaos.recording.export import to_csv, to_parquet
from perfchaos.workload.arrivals import Arrivals, Stage
from perfchaos.workload.plan import ClosedLoop
from perfchaos.workload.process import start_workload
from perfchaos.workload.scenarios import SCENARIOS
from perfchaos.workload.strict_json import to_json
from perfchaos.workload.summary import LoadSummary
from perfchaos.workload.thresholds import threshold

EXIT_THRESHOLD = 1
EXIT_INVALID = 3
EXIT_INTERRUPTED = 130
_DURATION_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeOptions:
    """The shape of the load, in the names of its options."""

    rate: float | None
    duration: float | None
    stage: tuple[str, ...]
    scenario: str | None
    closed: int | None
    poisson: bool

    def load(self) -> Arrivals | ClosedLoop:
        """The one shape that was asked for. Raises InvalidInput if it is none or several."""
        line = self.rate is not None or bool(self.stage)
        if [line, self.scenario is not None, self.closed is not None].count(True) != 1:
            raise InvalidInput(
                "the shape of the load",
                ["one of --rate (with or without --stage), --scenario and --closed is needed"],
                next_step="begin with --rate 100",
            )
        if self.closed is not None:
            return ClosedLoop(in_flight_count=self.closed)
        if self.scenario is not None:
            return SCENARIOS[self.scenario]
        if self.stage:
            return Arrivals(stages=_ramps(self.stage, self.rate or 0.0), poisson=self.poisson)
        return Arrivals.constant(self.rate or 0.0, poisson=self.poisson)

    def duration_s(self) -> float | None:
        """How long to send; None if the stages say so."""
        staged = bool(self.stage) or self.scenario is not None
        return self.duration if self.duration is not None or staged else _DURATION_S


_SHAPE_OPTIONS = (
    click.option("--rate", type=float, help="Arrivals per second, whatever the target does."),
    click.option("--duration", type=DURATION, help="30s, or as long as the stages."),
    click.option(
        "--stage",
        multiple=True,
        metavar="DURATION:RATE",
        help="Go from the rate before (--rate, else 0) to RATE within DURATION; repeat.",
    ),
    click.option("--scenario", type=click.Choice(list(SCENARIOS)), help="A named line of stages."),
    click.option("--poisson", is_flag=True, help="Random arrivals of that mean rate."),
    click.option(
        "--closed",
        type=int,
        metavar="COUNT",
        help="The closed model: COUNT in flight, each reply sends the next request.",
    ),
)


@click.command()
@click.argument("url")
@bundled("shape", ShapeOptions, _SHAPE_OPTIONS)
@with_request_options
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    help="Fail unless met: 'p99<500ms', 'errors<1%', 'rate>=480'; repeat.",
)
@click.option("--json", "as_json", is_flag=True, help="The results as JSON on stdout.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep plan and recording there.")
@click.option(
    "--export",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Every sample as FILE.csv or FILE.parquet.",
)
def load(
    url: str,
    thresholds: tuple[str, ...],
    export: Path | None,
    keep: Path | None,
    shape: ShapeOptions,
    request: RequestOptions,
    *,
    as_json: bool,
) -> None:
    """
    Send requests to URL at the rate you say and report what came of them.

    Latency counts from the instant each request was due, so a slow target cannot hide behind a
    waiting generator. Exit code 0: something was acked and all thresholds are met; 1: not so;
    2: the input makes no sense; 3: the generator fell behind, so the results prove nothing;
    130: ended by Ctrl-C, with the results so far.
    """
    judges = tuple(threshold(text) for text in thresholds)
    _check_export(export)
    plan = request.plan(url, shape.load(), duration_s=shape.duration_s())
    with _folder(keep) as folder:
        with start_workload(plan, folder) as workload:
            workload.wait_ready()
            interrupted = watch(plan, workload)
            tally = workload.stop()
        recording = Recording.open(workload.recording_path)
        summary = LoadSummary.of(plan, recording, tally, judges)
        if export is not None:
            (to_parquet if export.suffix == ".parquet" else to_csv)(recording, export)
    if as_json:
        click.echo(json.dumps(to_json(summary), indent=1))
    else:
        click.echo("\n".join(summary_lines(plan, summary)))
    if interrupted:
        sys.exit(EXIT_INTERRUPTED)
    if summary.invalid_because:
        sys.exit(EXIT_INVALID)
    sys.exit(0 if summary.passed else EXIT_THRESHOLD)


def _ramps(texts: tuple[str, ...], start_per_s: float) -> tuple[Stage, ...]:
    stages = []
    for text in texts:
        duration, _, rate = text.partition(":")
        try:
            duration_s, end_per_s = DURATION.convert(duration, None, None), float(rate)
        except (click.BadParameter, ValueError) as error:
            raise InvalidInput(
                f"stage {text!r}", ["it does not read as DURATION:RATE"], next_step="write 30s:500"
            ) from error
        stages.append(Stage(duration_s=duration_s, start_per_s=start_per_s, end_per_s=end_per_s))
        start_per_s = end_per_s
    return tuple(stages)


def _check_export(export: Path | None) -> None:
    if export is not None and export.suffix not in {".csv", ".parquet"}:
        raise InvalidInput(
            f"export file {export}",
            [f"{export.suffix or 'no ending'} is no known format"],
            next_step="name it .csv or .parquet",
        )


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="perfchaos-load-") as folder:
            yield Path(folder)
        return
    if keep.exists() and any(keep.iterdir()):
        raise InvalidInput(f"folder {keep}", ["it is not empty"], next_step="name a new one")
    yield keep
