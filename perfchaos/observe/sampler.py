"""
Looks at something at regular intervals and keeps every reading in a file of JSON lines.

A look that fails is a reading too: that a dependency could not be asked at some moment is what a
chaos run is about, and a gap must never look like a good value.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from perfchaos.errors import PerfchaosError
from perfchaos.timeline import Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One look: its instant (CLOCK_MONOTONIC) and its values, or why there are none."""

    at_ns: int
    values: Mapping[str, Fact]
    failed: str | None


class Sampler:
    """
    Calls `look` every `interval_s` from `__enter__` to `__exit__`, in a thread of its own.

    `look` returns named values, or raises PerfchaosError when it could not look. A look that takes
    longer than the interval delays the next one; none is made up. One that breaks in a way nobody
    thought of is a failed look, and the next is tried all the same.
    """

    def __init__(
        self, path: Path, look: Callable[[], Mapping[str, Fact]], *, interval_s: float
    ) -> None:
        self.path = path
        self._look = look
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._looked = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=path.stem, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def has_looked(self) -> bool:
        """Whether there is a reading: the first may take as long as what is looked at is slow."""
        return self._looked.is_set()

    def _watch(self) -> None:
        with self.path.open("w", encoding="utf-8", buffering=1) as file:
            due_s = time.monotonic()
            while not self._ended.wait(max(due_s - time.monotonic(), 0)):
                due_s = max(due_s + self._interval_s, time.monotonic())
                file.write(json.dumps(self._line()) + "\n")
                self._looked.set()

    def _line(self) -> dict[str, Fact]:
        at_ns = time.monotonic_ns()
        try:
            return {"at_ns": at_ns, **self._look()}
        except PerfchaosError as error:
            return {"at_ns": at_ns, "failed": str(error)}
        except Exception as error:  # noqa: BLE001 - a dead sampler would leave old values standing
            return {"at_ns": at_ns, "failed": repr(error)}


class Readings:
    """The readings in a file that grows; none as long as it does not exist."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0

    def new(self) -> tuple[Reading, ...]:
        """Those that have come since this was last asked, in order."""
        if not self._path.exists():
            return ()
        with self._path.open("rb") as file:
            file.seek(self._read_bytes)
            found = []
            for line in file:
                if not line.endswith(b"\n"):
                    break  # It is being written.
                self._read_bytes += len(line)
                values = json.loads(line)
                at_ns, failed = values.pop("at_ns"), values.pop("failed", None)
                found.append(Reading(at_ns=at_ns, values=values, failed=failed))
        return tuple(found)


def readings(path: Path) -> tuple[Reading, ...]:
    """All readings in the file so far, in order; none if it does not exist."""
    return Readings(path).new()
