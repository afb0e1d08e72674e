"""
Whether the Postgres experiments see what they are for, and nothing else.

    python -m benchmarks.postgres mutants          each planted defect, by its own measurement
    python -m benchmarks.postgres calm --runs 20   no false alarm on a healthy, tuned system
    python -m benchmarks.postgres untuned          what the untuned profile recovers like

Each needs a few minutes of a machine that does nothing else, and brings the reference system up and
down again (PERFCHAOS_STATE_DIR, PERFCHAOS_PORT_OFFSET).
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from perfchaos.places import runs_dir

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
_PROGRAMS = Path(sys.executable).parent
_RED = ("critical", "unknown")
# The untuned profile is saturated by the usual rate before anything is harmed.
_WITHIN_ITS_MEANS = ("--var", "rate_per_s:int=20", "--var", "samples_min:int=90")
_CALM = (
    *("postgres-restart", "postgres-crash", "postgres-refused", "postgres-hang"),
    *("postgres-slow", "postgres-readonly", "postgres-connections"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A defect, the experiment that must find it, and the measurement that must be red."""

    defect: str
    experiment: str
    measurement: str


MUTANTS = (
    Mutant(defect="ack_before_commit", experiment="postgres-crash", measurement="lost_count"),
    Mutant(defect="synchronous_commit_off", experiment="postgres-crash", measurement="lost_count"),
    Mutant(
        defect="pool_keeps_dead_connections",
        experiment="postgres-crash",
        measurement="recovery_time_s",
    ),
    Mutant(defect="cold_pool", experiment="postgres-restart", measurement="application_time_s"),
    Mutant(
        defect="healthy_while_writes_fail",
        experiment="postgres-readonly",
        measurement="healthy_while_failing_s",
    ),
)


@click.group()
def main() -> None:
    """Try the Postgres experiments on systems known to be sick or sound."""


@main.command()
@click.argument("only", nargs=-1)
def mutants(only: tuple[str, ...]) -> None:
    """Plant each defect (or those named) and see that its measurement goes red."""
    missed = []
    for mutant in MUTANTS:
        if only and mutant.defect not in only:
            continue
        with _stack({"DEFECTS": mutant.defect}):
            verdict = _run(mutant.experiment)
        found = [m for m in verdict["measurements"] if m["name"] == mutant.measurement]
        red = [m for m in found if m["band"] in _RED]
        _tell(mutant.defect, verdict, red or found)
        if not red:
            missed.append(mutant.defect)
    sys.exit(f"not found: {', '.join(missed)}" if missed else 0)


@main.command()
@click.option("--runs", default=20, show_default=True)
@click.argument("experiments", nargs=-1)
def calm(runs: int, experiments: tuple[str, ...]) -> None:
    """Run the experiments in turn on the tuned system; every alarm is a false one."""
    names = experiments or _CALM
    alarms = 0
    with _stack({"DEFECTS": ""}):
        for number in range(runs):
            verdict = _run(names[number % len(names)])
            alarms += verdict["exit_code"] != 0
            bad = [m for m in verdict["measurements"] if m["band"] in ("warn", *_RED)]
            _tell(f"run {number + 1}", verdict, bad)
    click.echo(f"{alarms} false alarms in {runs} runs")
    sys.exit(min(alarms, 1))


@main.command()
@click.argument("experiments", nargs=-1)
def untuned(experiments: tuple[str, ...]) -> None:
    """Run the experiments on the untuned profile."""
    with _stack({"DEFECTS": ""}, "--profile", "untuned"):
        for name in experiments or ("postgres-restart", "postgres-crash"):
            verdict = _run(name, *_WITHIN_ITS_MEANS)
            _tell("untuned", verdict, verdict["measurements"])


@contextmanager
def _stack(environment: Mapping[str, str], *options: str) -> Iterator[None]:
    environment = {**os.environ, **environment}
    subprocess.run([_PROGRAMS / "perfchaos", "up", *options], check=True, env=environment)
    try:
        yield
    finally:
        subprocess.run([_PROGRAMS / "perfchaos", "down"], check=True)


def _run(experiment: str, *options: str) -> dict[str, Any]:
    """The verdict of one run."""
    before = (runs_dir() / "latest").resolve()
    subprocess.run(
        [
            *(str(_PROGRAMS / "chaos"), "--no-log-file", "run"),
            *("--journal-path", os.devnull, *options, str(EXPERIMENTS / f"{experiment}.yaml")),
        ],
        check=False,
        capture_output=True,
    )
    latest = (runs_dir() / "latest").resolve()
    if latest == before:
        sys.exit(f"{experiment} left no run behind: run it by hand and see why")
    verdict: dict[str, Any] = json.loads((latest / "verdict.json").read_text())
    return verdict


def _tell(what: str, verdict: Mapping[str, Any], measurements: list[dict[str, Any]]) -> None:
    click.echo(f"{what}: {verdict['experiment']}, {verdict['status']}, {verdict['band']}")
    for m in measurements:
        click.echo(f"    {m['name']} ({m['phase']}) {m['value']} {m['band']} {m['evidence']}")
    for reason in verdict["reasons"]:
        click.echo(f"    {reason}")


if __name__ == "__main__":
    main()
