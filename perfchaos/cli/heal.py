"""`perfchaos heal`: undo whatever dead runs have left harmed."""

import sys

import click

from perfchaos.errors import PerfchaosError
from perfchaos.faults.proxied import toxiproxy_of
from perfchaos.places import leases_dir
from perfchaos.safety.leftovers import Leftover, forget, heal_leftovers
from perfchaos.safety.strays import remove_strays
from perfchaos.target import Target
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
    target = _target_in_use()
    leftovers = heal_leftovers(by="perfchaos heal", alive_too=force)
    for leftover in leftovers:
        _tell(leftover)
    removed, looked_at, problems = _heal_strays(target)
    for stray in removed:
        click.echo(f"removed {stray}, which no run here has left")
    for problem in problems:
        click.echo(problem, err=True)
    if not (leftovers or removed or problems):
        where = (f"by any run whose leases lie in {leases_dir()}", *looked_at)
        click.echo(f"nothing is harmed {' and '.join(where)}")
    if problems or any(leftover.problems for leftover in leftovers):
        sys.exit(1)


def _target_in_use() -> Target | None:
    """The target whose secrets some faults need; None where there is none, as most need none."""
    try:
        return load_target(find_target())
    except PerfchaosError:
        return None


def _heal_strays(
    target: Target | None,
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """What was removed of toxics without a lease, where was looked for them, and what failed."""
    if target is None or target.toxiproxy is None:
        return (), (), ()
    looked_at = (f"by toxics of ours on {target.toxiproxy.url}",)
    try:
        return remove_strays(toxiproxy_of(target)), looked_at, ()
    except PerfchaosError as error:
        return (), (), (f"whether toxics of ours are left cannot be told: {error}",)


def heal_first(command: str) -> None:
    """Whatever `perfchaos` is called for, heal what dead runs left before it."""
    if command in ("heal", "stop", "up"):
        return  # They do so themselves, and say more about it.
    heal_aside(command)


def heal_aside(command: str) -> bool:
    """Heal what dead runs left, told beside the command's own output; whether nothing is left."""
    leftovers = heal_leftovers(by=f"perfchaos {command}", settled=False)
    for leftover in leftovers:
        if leftover.healed or leftover.problems:
            _tell(leftover, aside=True)
    return not any(leftover.problems for leftover in leftovers)


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
