"""`perfchaos stop`: end the runs under way, their faults healed first."""

import sys

import click

from perfchaos.safety import audit
from perfchaos.safety.leftovers import heal_leftovers
from perfchaos.safety.stopping import stop_runs


@click.command("stop")
@click.option("--why", default="perfchaos stop", help="What the verdict is to give as the reason.")
def stop_command(*, why: str) -> None:
    """
    Stop every run of this user that is under way; its faults are healed first.

    What its watchdog does not heal within five seconds is healed from here. Exits 1 if anything is
    still harmed.
    """
    stopped = stop_runs(why=why, within_s=5.0)
    if not stopped:
        click.echo("no run is under way")
    for run in stopped:
        audit.record("stopped", run=run.run_id, why=why)
        click.echo(f"{run.run_id}: {'stopped' if run.healed else 'does not stop'}")
    if all(run.healed for run in stopped):
        return
    leftovers = heal_leftovers(by="perfchaos stop", alive_too=True)
    for leftover in leftovers:
        for problem in leftover.problems:
            click.echo(f"{leftover.run_id}: {problem}", err=True)
    if any(leftover.problems for leftover in leftovers):
        sys.exit(1)
