"""`perfchaos`, whatever it is called for."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from perfchaos.cli import main

COMMANDS = main.list_commands(click.Context(main))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_does(command: str) -> None:
    listed = CliRunner().invoke(main, ["--help"]).output
    assert f"\n  {command} " in listed
    told = CliRunner().invoke(main, [command, "--help"])
    assert told.exit_code == 0
    assert told.output.startswith(f"Usage: main {command}")


def test_a_command_that_is_not_there_is_an_error() -> None:
    assert CliRunner().invoke(main, ["upp"]).exit_code == 2


def test_what_only_others_stand_on_is_not_waited_for() -> None:
    heavy = "{'numpy', 'psycopg', 'redis', 'requests', 'rich', 'jinja2'}"
    script = f"import sys, perfchaos.cli.stack; print({heavy} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "set()\n"
