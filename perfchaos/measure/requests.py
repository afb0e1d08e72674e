"""
The requests of a run whose fates are known, in the order in which they were due.

They are followed while the run lasts: what was read once is not read again, so that a look costs as
much late in a long run as early.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from perfchaos.measure.phases import took_ns
from perfchaos.phases import Instants, Mask, belong
from perfchaos.recording import Failure, Outcome, Recording
from perfchaos.recording.reader import Samples
from perfchaos.timeline import Phase, Span

_UNFINISHED = (Failure.STOPPED, Failure.NOT_SENT_BEFORE_STOP)
_ROOM_COUNT = 1 << 14

type Flags = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """
    Requests in the order they were intended; instants in CLOCK_MONOTONIC nanoseconds.

    The fate of every request intended before `known_until_ns` is known, and no other is here. None
    took longer than `longest_ns`, where that is known.
    """

    intended_ns: Instants
    done_ns: Instants
    acked: Mask
    flags: Flags
    known_until_ns: int
    longest_ns: int | None = None

    @classmethod
    def of(cls, recording: Recording, *, until_ns: int) -> Self:
        """What is known of the requests intended before `until_ns`."""
        return Followed(recording).requests(cls, until_ns=until_ns)

    def between(self, start_ns: int, end_ns: int) -> Self:
        """Those intended at `start_ns` or later and before `end_ns`."""
        end_ns = min(end_ns, self.known_until_ns)
        low, high = np.searchsorted(self.intended_ns, [start_ns, end_ns])
        return self._only(slice(low, high), end_ns)

    def of_phase(self, spans: Sequence[Span], phase: Phase) -> Self:
        """Those that belong to `phase`, by the same definition as everything else."""
        own = belong(self.intended_ns, self.done_ns, spans, phase, now_ns=self.known_until_ns)
        return self._only(own, self.known_until_ns)

    def until(self, until_ns: int, *, cut: bool) -> Self:
        """
        Those due before `until_ns`.

        With `cut` it is a fault that comes then. What it caught in flight is the fault's, and from
        there on nothing is known.
        """
        found = self.between(0, until_ns)
        if not cut:
            return found
        # Whatever was caught was due within the time that the longest has taken.
        first = np.searchsorted(found.intended_ns, until_ns - found.longest)
        caught = np.flatnonzero(found.done_ns[first:] >= until_ns)
        return found.between(0, int(found.intended_ns[first + caught[0]])) if len(caught) else found

    def met_by(self, since_ns: int, until_ns: int, *, cut: bool) -> Self:
        """Those of `until` that were not over before `since_ns`, and some of the others."""
        return self.until(until_ns, cut=cut).between(since_ns - self.longest, until_ns)

    @property
    def longest(self) -> int:
        """How long one has taken at the most, in nanoseconds."""
        if self.longest_ns is not None:
            return self.longest_ns
        return int(self.latency_ns.max(initial=0))

    @property
    def latency_ns(self) -> Instants:
        """From the intended instant to the end of the reply, or to giving up."""
        return self.done_ns - self.intended_ns

    @property
    def waiting_count(self) -> Instants:
        """How many requests were under way at the instant that each was intended, itself too."""
        done = np.searchsorted(np.sort(self.done_ns), self.intended_ns, side="right")
        return np.arange(1, len(self.intended_ns) + 1) - done

    def _only(self, which: slice | Mask, known_until_ns: int) -> Self:
        return type(self)(
            intended_ns=self.intended_ns[which],
            done_ns=self.done_ns[which],
            acked=self.acked[which],
            flags=self.flags[which],
            known_until_ns=known_until_ns,
            longest_ns=self.longest_ns,
        )


class Followed:
    """
    A recording that grows, and what is known of its requests.

    Samples come in the order in which requests end; they are put where their number says, and what
    is known reaches up to the first number that is missing.
    """

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._read: dict[int, int] = {}
        self._intended_ns = np.zeros(_ROOM_COUNT, np.int64)
        self._done_ns = np.zeros(_ROOM_COUNT, np.int64)
        self._acked = np.zeros(_ROOM_COUNT, np.bool_)
        self._flags = np.zeros(_ROOM_COUNT, np.uint8)
        self._there = np.zeros(_ROOM_COUNT, np.bool_)
        self._end = 0  # behind the greatest number there is
        self._known = 0  # before the least number there is not
        self._longest_ns = 0

    def requests[R: Requests](self, kind: type[R], *, until_ns: int) -> R:
        """What is known by now of the requests intended before `until_ns`."""
        for part, samples in enumerate(self._recording.samples_by_part()):
            self._place(samples[self._read.get(part, 0) :])
            self._read[part] = len(samples)
        there = self._there[self._known : self._end]
        self._known += len(there) if there.all() else int(np.argmin(there))
        # The one that is missing was due after the last one before it: from there on the failures
        # are perhaps those that are not here.
        last = self._known - 1
        known_until_ns = int(self._intended_ns[last]) + 1 if self._known else 0
        return kind(
            intended_ns=self._intended_ns[: self._known],
            done_ns=self._done_ns[: self._known],
            acked=self._acked[: self._known],
            flags=self._flags[: self._known],
            known_until_ns=known_until_ns,
            longest_ns=self._longest_ns,
        ).between(0, min(until_ns, known_until_ns))

    def _place(self, samples: Samples) -> None:
        # What the end of the load cut short has no fate of its own, and is missing like one in
        # flight.
        samples = samples[~np.isin(samples["code"], _UNFINISHED)]
        if not len(samples):
            return
        numbers = samples["n"].astype(np.int64)
        self._end = max(self._end, int(numbers.max()) + 1)
        while self._end > len(self._there):
            self._grow()
        taken_ns = took_ns(samples)
        intended_ns = samples["intended_ns"] + self._recording.epoch_ns
        self._intended_ns[numbers] = intended_ns
        self._done_ns[numbers] = intended_ns + taken_ns
        self._acked[numbers] = samples["outcome"] == Outcome.ACKED
        self._flags[numbers] = samples["flags"]
        self._there[numbers] = True
        self._longest_ns = max(self._longest_ns, int(taken_ns.max()))

    def _grow(self) -> None:
        """Twice the room. What was handed out stays where it is, and as it is."""
        self._intended_ns = _twice(self._intended_ns)
        self._done_ns = _twice(self._done_ns)
        self._acked = _twice(self._acked)
        self._flags = _twice(self._flags)
        self._there = _twice(self._there)


def _twice[Kind: np.generic](room: NDArray[Kind]) -> NDArray[Kind]:
    return np.concatenate([room, np.zeros_like(room)])
