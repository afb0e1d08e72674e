"""`perfchaos lock` and `unlock`: refuse all runs on a target, and allow them again."""

import click

from perfchaos.safety import audit
from perfchaos.safety.locks import lock, unlock
from perfchaos.target.loading import find_target, load_target

_target_option = click.option(
    "--target", "name", help="The target's name; by default that of the target file in use."
)


@click.command("lock")
@click.option("--why", required=True, help="What whoever finds the lock should know.")
@_target_option
def lock_command(*, why: str, name: str | None) -> None:
    """Refuse all runs on a target until it is unlocked."""
    put = lock(name or _name_in_use(), why=why)
    audit.record("locked", target=put.target, why=why)
    click.echo(f"target {put.target!r} is locked: {why}")


@click.command("unlock")
@_target_option
def unlock_command(*, name: str | None) -> None:
    """Allow runs on a target again."""
    target = name or _name_in_use()
    if unlock(target):
        audit.record("unlocked", target=target)
        click.echo(f"target {target!r} is unlocked")
    else:
        click.echo(f"target {target!r} was not locked")


def _name_in_use() -> str:
    return load_target(find_target()).name
