"""A driver under way, and what it leaves."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from perfchaos.process_table import look_up
from perfchaos.timeline import Timeline
from tests.lab import Lab
from tests.safety.driver import Orders


class Driven:
    """A driver under way."""

    def __init__(self, orders: Orders, process: "subprocess.Popen[str]") -> None:
        self.orders, self.process = orders, process
        words = self.next_line().split()
        assert words[0] == "protected", words
        self.watchdog_pid, self.workload_pid = int(words[1]), int(words[2])

    def next_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def in_force(self) -> None:
        line = self.next_line()
        assert line.startswith("in force"), line

    def verdict(self) -> dict[str, object]:
        text = (self.orders.run_directory / "verdict.json").read_text()
        found: dict[str, object] = json.loads(text)
        return found

    def events(self) -> list[str]:
        timeline = Timeline(self.orders.run_directory / "timeline.jsonl")
        return [event.name for event in timeline.events()]


@contextmanager
def driven(orders: Orders) -> Iterator[Driven]:
    with orders.start() as process:
        run = Driven(orders, process)
        try:
            yield run
        finally:
            process.kill()
            gone(run.watchdog_pid)


def eventually(what: Callable[[], bool], *, within_s: float = 60) -> bool:
    deadline_s = time.monotonic() + within_s
    while not what():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.01)
    return True


def gone(pid: int) -> bool:
    return eventually(lambda: look_up(pid) is None)


def orders(lab: Lab, tmp_path: Path, *faults: str) -> Orders:
    return Orders(lab=lab, run_directory=tmp_path / "run-1", faults=faults)
