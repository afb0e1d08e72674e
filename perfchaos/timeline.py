"""
What was done in a run and when: an append-only file of JSON lines.

Two processes write it, the run and its watchdog, so every event is one `write` of one line to a
file opened for appending. Instants are CLOCK_MONOTONIC nanoseconds, as in the recording, so that
a phase cuts the recording exactly; the wall time beside them is for people.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

type Fact = str | int | float | bool | None


class Phase(StrEnum):
    """The parts of a run, in the order they are lived through; no run has all of them."""

    BASELINE = "baseline"
    RAMP = "ramp"
    LOAD = "load"
    OUTAGE = "outage"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the timeline: what happened, when, and the facts that go with it."""

    at_ns: int
    name: str
    facts: Mapping[str, Fact]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A phase with its limits in CLOCK_MONOTONIC nanoseconds; `end_ns` is None while it lasts."""

    phase: Phase
    start_ns: int
    end_ns: int | None


class Timeline:
    """Appends events to `path`; safe beside another process that appends to the same file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def record(self, name: str, *, at_ns: int | None = None, **facts: Fact) -> Event:
        """Append the event `name`; `at_ns` says when it happened, if that was not just now."""
        event = Event(at_ns=time.monotonic_ns() if at_ns is None else at_ns, name=name, facts=facts)
        line = {"at_ns": event.at_ns, "at": _wall(event.at_ns), "event": name, **facts}
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, (json.dumps(line) + "\n").encode())
        finally:
            os.close(descriptor)
        return event

    def events(self) -> tuple[Event, ...]:
        """All events so far, in the order they happened; a torn last line is left out."""
        if not self.path.exists():
            return ()
        events = []
        for line in self.path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                continue
            facts = json.loads(line)
            at_ns, name = facts.pop("at_ns"), facts.pop("event")
            facts.pop("at")
            events.append(Event(at_ns=at_ns, name=name, facts=facts))
        return tuple(sorted(events, key=lambda event: event.at_ns))


def spans(events: tuple[Event, ...]) -> tuple[Span, ...]:
    """The phases lived through, from the events `phase` and `workload stopped`."""
    found: list[Span] = []
    for event in events:
        if event.name not in ("phase", "workload stopped"):
            continue
        if found and found[-1].end_ns is None:
            last = found[-1]
            found[-1] = Span(phase=last.phase, start_ns=last.start_ns, end_ns=event.at_ns)
        if event.name == "phase":
            phase = Phase(str(event.facts["phase"]))
            found.append(Span(phase=phase, start_ns=event.at_ns, end_ns=None))
    return tuple(found)


def _wall(at_ns: int) -> str:
    behind_s = (time.monotonic_ns() - at_ns) / 1e9
    return datetime.fromtimestamp(time.time() - behind_s, UTC).isoformat(timespec="milliseconds")
