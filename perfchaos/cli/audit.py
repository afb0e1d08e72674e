"""`perfchaos audit`: who ran what against what, when, and with which verdict."""

import sys

import click

from perfchaos.safety import audit


@click.group("audit")
def audit_group() -> None:
    """Look at the audit log."""


@audit_group.command("show")
def show() -> None:
    """Print every entry, the oldest first."""
    for entry in audit.entries():
        facts = " ".join(f"{key}={value}" for key, value in entry.facts.items())
        click.echo(f"{entry.at} {entry.who}@{entry.host} {entry.event} {facts}")


@audit_group.command("verify")
def verify() -> None:
    """Follow the chain of hashes; exits 1 if a line was changed, removed or added."""
    verified = audit.verify()
    if verified.flaw is not None:
        click.echo(f"{audit.log_file()}: {verified.flaw}", err=True)
        sys.exit(1)
    click.echo(f"{verified.count} entries, unbroken; head {verified.head}")
