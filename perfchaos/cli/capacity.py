"""`perfchaos capacity`: the greatest rate at which one URL still keeps its promises."""

import json
import sys
import tempfile
from pathlib import Path

import click

from perfchaos.cli.request_options import DURATION, RequestOptions, with_request_options
from perfchaos.errors import InvalidInput
from perfchaos.workload.arrivals import Arrivals
from perfchaos.workload.capacity import SearchPlan, Step, find_capacity
from perfchaos.workload.stepping import TargetStepper
from perfchaos.workload.strict_json import to_json
from perfchaos.workload.thresholds import threshold

PROMISES = ("p99<500ms", "errors<1%", "dropped<=0")


@click.command()
@click.argument("url")
@with_request_options
@click.option(
    "--promise",
    "promises",
    multiple=True,
    default=PROMISES,
    show_default=True,
    help="What must hold, as for 'load --threshold'; repeat. Replaces the default.",
)
@click.option("--start", default=50.0, show_default=True, help="First rate, requests/s.")
@click.option("--max", "greatest", default=25_600.0, show_default=True, help="Go no further.")
@click.option("--step", type=DURATION, default=5.0, help="How long each rate is tried; 5s.")
@click.option("--hold", type=DURATION, default=15.0, help="How long the answer must hold; 15s.")
@click.option("--json", "as_json", is_flag=True, help="The results as JSON on stdout.")
def capacity(
    url: str,
    promises: tuple[str, ...],
    start: float,
    greatest: float,
    step: float,
    hold: float,
    request: RequestOptions,
    *,
    as_json: bool,
) -> None:
    """
    Find the greatest rate at which URL keeps its promises, and what gives way first beyond it.

    Exit code 0: a rate was found and confirmed; 1: not even the lowest held;
    2: the input makes no sense, or the target acknowledges nothing or does not recover.
    """
    search = SearchPlan(start_per_s=start, max_per_s=greatest, step_s=step, hold_s=hold)
    if mistakes := search.mistakes():
        raise InvalidInput("the search", mistakes, next_step="see 'perfchaos capacity --help'")
    plan = request.plan(url, Arrivals.constant(start), duration_s=step)
    with tempfile.TemporaryDirectory(prefix="perfchaos-steps-") as folder:
        stepper = TargetStepper(plan, [threshold(text) for text in promises], Path(folder))

        def run_step(rate_per_s: float, duration_s: float) -> Step:
            taken = stepper.run_step(rate_per_s, duration_s)
            click.echo(_step_line(taken), err=True)
            return taken

        found = find_capacity(run_step, search)
    click.echo(json.dumps(to_json(found), indent=1) if as_json else found.in_words())
    sys.exit(0 if found.held_per_s is not None else 1)


def _step_line(step: Step) -> str:
    if step.unsound:
        fate = f"the generator fell behind: {step.unsound[0]}"
    elif step.breaches:
        fate = "broke: " + ", ".join(breach.promise for breach in step.breaches)
    else:
        fate = "held"
    p99 = "–" if step.latency_p99_ms is None else f"{step.latency_p99_ms:.1f} ms"
    return f"{step.rate_per_s:10.1f}/s for {step.duration_s:.0f} s  p99 {p99}  {fate}"
