"""The `perfchaos` command: everything around a run that `chaos run` does not do."""

import sys

import click

from perfchaos.cli import stack
from perfchaos.cli.audit import audit_group
from perfchaos.cli.capacity import capacity
from perfchaos.cli.heal import heal_command, heal_first
from perfchaos.cli.load import load
from perfchaos.cli.lock import lock_command, unlock_command
from perfchaos.cli.matrix import matrix
from perfchaos.cli.stop import stop_command
from perfchaos.errors import PerfchaosError


class _Group(click.Group):
    """A command group that answers our own errors with one line and exit code 2."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except PerfchaosError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="perfchaos")
@click.pass_context
def main(context: click.Context) -> None:
    """Chaos experiments under real load, with verdicts that are never falsely green."""
    heal_first(context.invoked_subcommand or "")


main.add_command(stack.up)
main.add_command(stack.down)
main.add_command(stack.status)
main.add_command(capacity)
main.add_command(load)
main.add_command(matrix)
main.add_command(heal_command)
main.add_command(stop_command)
main.add_command(lock_command)
main.add_command(unlock_command)
main.add_command(audit_group)
