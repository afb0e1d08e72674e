"""`perfchaos up`, `down` and `status`: the reference system on this machine."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from importlib import import_module

import click

from perfchaos.errors import PerfchaosError
from perfchaos.places import leases_dir
from perfchaos.stack import docker, embedded
from perfchaos.stack.embedded import Standing
from perfchaos.stack.home import require_unused, stack_dir
from perfchaos.stack.ports import HOST, read_ports
from perfchaos.stack.reference_servers import PROFILES
from perfchaos.stack.target_file import TARGET_NAME


@click.command()
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    help="The service's tunings: those of the running stack, else tuned.",
)
@click.option("--docker", "in_containers", is_flag=True, help="In containers, by compose.")
def up(profile: str | None, *, in_containers: bool) -> None:
    """Bring the reference system up: Postgres, Redis, Toxiproxy, the order service, its worker."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    began_s = time.monotonic()
    _require_no_other(in_containers=in_containers)
    bring_up = docker.up if in_containers else embedded.up
    started = bring_up(
        ports=read_ports(os.environ), profile=profile, tell=_tell, used_by=_used_by()
    )
    if not started:
        click.echo("already up")
    else:
        click.echo(f"up in {time.monotonic() - began_s:.1f} s: started {', '.join(started)}")
    click.echo(f"target file: {stack_dir() / 'target.yaml'}")
    # Only now is there a Toxiproxy to heal at.
    if any(leases_dir().glob("*.jsonl")) and not _heal():
        sys.exit(1)


@click.command()
@click.option("--keep-data", is_flag=True, help="Leave Redis's and Postgres's data to the next up.")
def down(*, keep_data: bool) -> None:
    """Take the reference system down, whatever state it is in."""
    began_s = time.monotonic()
    require_unused(_used_by(), "the stack would be taken down")
    take_down = docker.down if docker.is_here() else embedded.down
    if take_down(keep_data=keep_data, tell=_tell):
        click.echo(f"down in {time.monotonic() - began_s:.1f} s")
    else:
        click.echo("nothing was up")


@click.command()
@click.option("--quiet", is_flag=True, help="Say it by the exit code only.")
def status(*, quiet: bool) -> None:
    """Show how the reference system stands. Exit code: 0 all of it up, 1 a part, 3 nothing."""
    standings = docker.look() if docker.is_here() else embedded.look()
    if not quiet:
        click.echo("\n".join(map(_line, standings)) or "nothing is up")
    sys.exit(_exit_code(standings))


def _require_no_other(*, in_containers: bool) -> None:
    """One stack in one place: both would write the same target file."""
    if in_containers and any(standing.state != "stopped" for standing in embedded.look()):
        raise PerfchaosError(
            "the reference system is up as processes", next_step="run 'perfchaos down' first"
        )
    if not in_containers and docker.is_here():
        raise PerfchaosError(
            "the reference system is here in containers", next_step="run 'perfchaos down' first"
        )


# What faults and leases stand on takes longer to import than `status` takes, and that needs none.


def _used_by() -> str | None:
    """The run under way on the reference system, if there is one."""
    found: str | None = import_module("perfchaos.safety.locks").under_way(TARGET_NAME)
    return found


def _heal() -> bool:
    """Heal what dead runs left; whether nothing is left."""
    healed: bool = import_module("perfchaos.cli.heal").heal_aside("up")
    return healed


def _line(standing: Standing) -> str:
    address = f"{HOST}:{standing.port}" if standing.port else "-"
    pid = f"pid {standing.pid}" if standing.pid else "-"
    return f"{standing.name:10} {standing.state:14} {address:16} {pid:12} {standing.detail}".strip()


def _exit_code(standings: Sequence[Standing]) -> int:
    if all(standing.state == "stopped" for standing in standings):
        return 3
    return 0 if all(standing.state == "running" for standing in standings) else 1


def _tell(what: str) -> None:
    click.echo(what, err=True)
