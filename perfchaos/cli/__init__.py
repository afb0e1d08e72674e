"""The `perfchaos` command: everything around a run that `chaos run` does not do."""

import sys
from importlib import import_module

import click

from perfchaos.errors import PerfchaosError
from perfchaos.places import leases_dir

# What one command stands on is most of what it takes to start, and no other needs it all: each is
# imported when it is called for.
_COMMANDS = {
    "up": "stack.up",
    "down": "stack.down",
    "status": "stack.status",
    "capacity": "capacity.capacity",
    "load": "load.load",
    "matrix": "matrix.matrix",
    "heal": "heal.heal_command",
    "stop": "stop.stop_command",
    "lock": "lock.lock_command",
    "unlock": "lock.unlock_command",
    "audit": "audit.audit_group",
}


class _Group(click.Group):
    """A command group that answers our own errors with one line and exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, _, command = _COMMANDS[cmd_name].partition(".")
        found: click.Command = getattr(import_module(f"perfchaos.cli.{module}"), command)
        return found

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
    if any(leases_dir().glob("*.jsonl")):
        import_module("perfchaos.cli.heal").heal_first(context.invoked_subcommand or "")
