"""
The guard: conditions under which a run must stop, watched while it runs.

It lives in the watchdog's process, where neither a blocking action nor a busy interpreter can stop
it, and reads the recording as it grows. It fails closed: a guard that cannot look says stop.

In an experiment, as an argument of the control:

    guard:
      - {stop_when: error_ratio, above: 0.9, window_s: 5}
      - {stop_when: latency_p99_ms, above: 10000, window_s: 5}
      - {stop_when: probe, function: probes.redis.queue_depth, above: 5000, window_s: 2}

`error_ratio` is the share of requests not acked and `latency_p99_ms` their latency, both over the
requests whose fate became known in the last `window_s` seconds. A `probe` is any function that
returns a number, given its `arguments` if it takes any; it is asked four times a second and must
breach all through `window_s`. `below` instead of `above` stops on values under the limit.
"""

import importlib
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from perfchaos import figures
from perfchaos.errors import InvalidInput, PerfchaosError

if TYPE_CHECKING:
    from perfchaos.recording.reader import Samples, Window

_RECORDED = ("error_ratio", "latency_p99_ms")

# Fewer requests than this in a window prove nothing, one way or the other.
_SAMPLES_MIN = 20

_PROBE_INTERVAL_S = 0.25
# A probe, or a workload, that has been silent for this long cannot be relied on any more.
_BLIND_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StopCondition:
    """One line of the guard. Exactly one of `above` and `below` is given."""

    stop_when: Literal["error_ratio", "latency_p99_ms", "probe"]
    above: float | None = None
    below: float | None = None
    window_s: float = 5.0
    function: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        what = self.function if self.stop_when == "probe" else self.stop_when
        limit = f"above {self.above:g}" if self.above is not None else f"below {self.below:g}"
        return f"{what} {limit} for {self.window_s:g} s"

    def breached_by(self, value: float) -> bool:
        """Whether this value is beyond the limit; a value equal to it is not."""
        if self.above is not None:
            return value > self.above
        return self.below is not None and value < self.below

    def never_trips(self, rate_per_s: float | None) -> str | None:
        """Why it can never stop a load of `rate_per_s` at most; None if it can, or nobody knows."""
        if self.stop_when not in _RECORDED or rate_per_s is None:
            return None
        if rate_per_s * self.window_s >= _SAMPLES_MIN:
            return None
        return (
            f"the guard '{self}' can never stop the run: at {rate_per_s:g}/s its window holds fewer"
            f" than {_SAMPLES_MIN} requests; make window_s {_SAMPLES_MIN / rate_per_s:.2g} or more"
        )

    def to_document(self) -> dict[str, Any]:
        """As `read_conditions` reads it."""
        given = {"stop_when": self.stop_when, "window_s": self.window_s}
        optional = {
            "above": self.above,
            "below": self.below,
            "function": self.function,
            "arguments": dict(self.arguments) or None,
        }
        return given | {key: value for key, value in optional.items() if value is not None}


def read_conditions(documents: Sequence[Mapping[str, Any]]) -> tuple[StopCondition, ...]:
    """
    The guard of an experiment.

    Raises:
        InvalidInput: it makes no sense; the error lists every mistake in it.

    """
    mistakes: list[str] = []
    conditions = []
    for number, document in enumerate(documents, start=1):
        found = [f"line {number}: {mistake}" for mistake in _mistakes(document)]
        mistakes += found
        if not found:
            conditions.append(StopCondition(**document))
    if mistakes:
        raise InvalidInput("the guard", mistakes, next_step="correct it in the experiment")
    return tuple(conditions)


class Guard:
    """Watches the conditions of one run from `arm` on."""

    def __init__(self, conditions: Sequence[StopCondition]) -> None:
        self._conditions = tuple(conditions)
        self._traffic: _Traffic | None = None
        self._probes: list[_Probe] = []
        self._blind: str | None = None

    def arm(self, recording: Path) -> None:
        """Start looking: the workload sends, and records at `recording`."""
        if any(condition.stop_when in _RECORDED for condition in self._conditions):
            try:
                self._traffic = _Traffic(recording)
            except (PerfchaosError, OSError) as error:
                self._blind = str(error)
        self._probes = [_Probe(c) for c in self._conditions if c.stop_when == "probe"]

    def disarm(self) -> None:
        """Stop looking: the load has ended, as it should."""
        self._traffic, self._probes, self._blind = None, [], None

    def breach(self) -> str | None:
        """Why the run must stop; None while it may go on."""
        if self._blind is not None:
            return f"the guard cannot look: {self._blind}"
        for probe in self._probes:
            if reason := probe.breach():
                return reason
        if self._traffic is None:
            return None
        try:
            if silent_s := self._traffic.stalled_s():
                return f"the guard cannot look: no request was planned for {silent_s:.1f} s"
            for condition in self._conditions:
                if condition.stop_when in _RECORDED:
                    window = self._traffic.last(condition.window_s)
                    if reason := _breach(condition, window):
                        return reason
        except Exception as error:  # noqa: BLE001 - whatever it is, it keeps the guard from looking
            return f"the guard cannot look: {error}"
        return None


class _Traffic:
    """The recording, read near its growing end only."""

    def __init__(self, path: Path) -> None:
        # Only a guard that reads a recording pays for numpy, and before any harm is done.
        from perfchaos.recording.reader import PART_SUFFIX, Recording  # noqa: PLC0415

        files = sorted(path.glob(f"*{PART_SUFFIX}")) if path.is_dir() else [path]
        # Each part by itself: within a part the samples are in the order of their completion.
        self._parts = [Recording.open(file) for file in files]
        self._armed_s = time.monotonic()
        self._planned_count = 0
        self._planned_at_s = self._armed_s

    def last(self, window_s: float) -> "Window":
        """The requests whose fate became known in the last `window_s` seconds."""
        import numpy as np  # noqa: PLC0415 - as above

        from perfchaos.recording.reader import Window  # noqa: PLC0415

        now_ns = time.monotonic_ns()
        duration_ns = round(window_s * 1e9)
        tails = []
        for part in self._parts:
            samples = part.samples()
            since_ns = now_ns - duration_ns - part.epoch_ns
            first = bisect_left(range(len(samples)), since_ns, key=partial(_done_ns, samples))
            tails.append(samples[first:])
        whole = tails[0] if len(tails) == 1 else np.concatenate(tails)
        return Window.of(
            whole,
            epoch_ns=self._parts[0].epoch_ns,
            start_ns=now_ns - duration_ns,
            duration_ns=duration_ns,
        )

    def stalled_s(self) -> float | None:
        """For how long nothing was planned, if that is much longer than between two requests."""
        now_s = time.monotonic()
        planned_count = sum(part.planned_count for part in self._parts)
        if planned_count != self._planned_count:
            self._planned_count, self._planned_at_s = planned_count, now_s
        usual_s = (now_s - self._armed_s) / max(planned_count, 1)
        silent_s = now_s - self._planned_at_s
        return silent_s if silent_s > max(_BLIND_S, 10 * usual_s) else None


class _Probe:
    """A function asked in a thread of its own, so that one that hangs blinds nobody else."""

    def __init__(self, condition: StopCondition) -> None:
        self._condition = condition
        self._armed_s = time.monotonic()
        self._breached: deque[tuple[float, bool]] = deque(maxlen=4096)
        self._failure: str | None = None
        threading.Thread(target=self._ask_for_ever, daemon=True).start()

    def breach(self) -> str | None:
        """Why the run must stop because of this probe."""
        condition, now_s = self._condition, time.monotonic()
        if self._failure is not None:
            return f"the guard cannot look: {condition.function} {self._failure}"
        readings = list(self._breached)
        if now_s - (readings[-1][0] if readings else self._armed_s) > _BLIND_S:
            return f"the guard cannot look: {condition.function} has not answered"
        since_s = now_s - condition.window_s
        recent = [breached for at_s, breached in readings if at_s >= since_s]
        long_enough = self._armed_s <= since_s
        return f"the guard: {condition}" if long_enough and recent and all(recent) else None

    def _ask_for_ever(self) -> None:
        try:
            function = resolve(str(self._condition.function))
            while True:
                value = float(function(**self._condition.arguments))
                self._breached.append((time.monotonic(), self._condition.breached_by(value)))
                time.sleep(_PROBE_INTERVAL_S)
        except Exception as error:  # noqa: BLE001 - somebody else's function may raise anything
            self._failure = f"raised {type(error).__name__}"


def resolve(name: str) -> Callable[..., Any]:
    """
    The function `package.module.function`.

    Raises:
        InvalidInput: there is none of that name.

    """
    module, _, function = name.rpartition(".")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidInput(
            f"guard function {name!r}", [str(error)], next_step="name one that can be imported"
        ) from None
    return found


def _done_ns(samples: "Samples", index: int) -> int:
    sample = samples[index]
    took_us = int(sample["lateness_us"]) + int(sample["service_us"])
    return int(sample["intended_ns"]) + took_us * 1000


def _breach(condition: StopCondition, window: "Window") -> str | None:
    if window.planned_count < _SAMPLES_MIN:
        return None
    value = window.error_ratio if condition.stop_when == "error_ratio" else window.latency_ms(0.99)
    if value is None or not condition.breached_by(value):
        return None
    limits = [limit for limit in (condition.above, condition.below) if limit is not None]
    was = figures.number(value, apart_from=limits)
    return f"the guard: {condition} (it was {was})"


def _mistakes(document: Mapping[str, Any]) -> list[str]:
    known = {"stop_when", "above", "below", "window_s", "function", "arguments"}
    found = [f"there is no key {key!r}" for key in sorted(set(document) - known)]
    what = document.get("stop_when")
    if what not in (*_RECORDED, "probe"):
        found.append(f"stop_when is {what!r}, none of {', '.join(_RECORDED)}, probe")
    if ("above" in document) == ("below" in document):
        found.append("give either above or below")
    for key in ("above", "below", "window_s"):
        if key in document and not _is_number(document[key]):
            found.append(f"{key} is {document[key]!r}, not a number")
    window_s = document.get("window_s", 5.0)
    if _is_number(window_s) and not 0 < window_s <= 600:
        found.append(f"window_s is {window_s:g}, not above 0 and at most 600")
    if (what == "probe") != ("function" in document):
        found.append("function belongs to stop_when: probe, and is required there")
    elif what == "probe":
        try:
            resolve(str(document["function"]))
        except InvalidInput as error:
            found += [f"function {document['function']}: {mistake}" for mistake in error.mistakes]
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
