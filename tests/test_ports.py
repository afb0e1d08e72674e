"""Concurrent runs of the tests, whoever's they are, never get the same port."""

import os
import subprocess
import sys
from pathlib import Path

from tests.ports import free_ports

PROJECT = Path(__file__).parents[1]
# Fewer than a process can have, and more than there would be without a meeting by chance.
COUNT = 400
ASK = f"""
import sys
from tests.ports import free_ports
print(*free_ports({COUNT}), flush=True)
sys.stdin.read()  # They are its own as long as it lives.
"""


def test_runs_at_the_same_time_get_different_ports() -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", ASK],
            cwd=PROJECT,
            # As in a run by an ordinary user inside another: each is, or seems, the first worker.
            env={"PATH": os.defpath},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    try:
        given = [int(port) for run in runs if run.stdout for port in run.stdout.readline().split()]
    finally:
        for run in runs:
            run.communicate("")
    assert len(given) == 4 * COUNT
    assert len(set(given)) == len(given)


def test_a_port_comes_again_only_after_all_others() -> None:
    assert len(set(free_ports(200))) == 200
