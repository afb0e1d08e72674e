"""`perfchaos heal`: undo whatever dead runs have left harmed."""

import sys
from contextlib import suppress

import click

from perfchaos.errors import PerfchaosError
from perfchaos.places import leases_dir
from perfchaos.safety.leftovers import Leftover, forget, heal_leftovers
from perfchaos.target.loading import find_target, load_target


@click.command("heal")
@click.option("--force", is_flag=True, help="Heal the faults of runs that are alive as well.")
@click.option("--forget", "run_id", help="Give up the leases of this run: you saw to it yourself.")
def heal_command(*, force: bool, run_id: str | None) -> None:
    """
    Heal what runs that died have left harmed.

    Needs no target file: everything it takes stands in the lease files, but for secrets, which come
    from the environment or from the secrets file of the target in use, if there is one. Exits 1 if
    anything is still harmed, or may be.
    """
    if run_id is not None:
        forget(run_id)
        click.echo(f"forgot the leases of {run_id}")
        return
    with suppress(PerfchaosError):  # Only its secrets are wanted, and most faults need none.
        load_target(find_target())
    leftovers = heal_leftovers(by="perfchaos heal", alive_too=force)
    for leftover in leftovers:
        _tell(leftover)
    if not leftovers:
        click.echo(f"nothing is harmed by any run whose leases lie in {leases_dir()}")
    if any(leftover.problems for leftover in leftovers):
        sys.exit(1)


def heal_first(command: str) -> None:
    """Whatever `perfchaos` is called for, heal what dead runs left before it."""
    if command in ("heal", "stop"):
        return  # They do so themselves, and say more about it.
    for leftover in heal_leftovers(by=f"perfchaos {command}", settled=False):
        if leftover.healed or leftover.problems:
            _tell(leftover, aside=True)


def _tell(leftover: Leftover, *, aside: bool = False) -> None:
    """Say what became of a run's leases; `aside` keeps out of what a command prints."""
    if leftover.alive:
        click.echo(f"{leftover.run_id} is alive: 'perfchaos stop' ends it", err=aside)
    for healed in leftover.healed:
        what = f"{healed.lease.dependency} {healed.lease.kind!r}"
        click.echo(f"{leftover.run_id}: healed {what}", err=aside)
    for problem in leftover.problems:
        click.echo(f"{leftover.run_id}: {problem}", err=True)
    if not (leftover.alive or leftover.healed or leftover.problems):
        click.echo(f"{leftover.run_id}: nothing was left harmed")
