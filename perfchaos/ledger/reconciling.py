"""
What the target promised against what it holds.

A pure function over three recorded facts: the fate of every request, how often Postgres holds each
id, and which ids still wait in the queue. Requests are their numbers in the plan, as numpy arrays
of int64, because a run has many and sets of strings would not fit.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from perfchaos.recording import Outcome, Recording

type Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fates:
    """The numbers of the requests that ended each way, as the client saw it."""

    acked: Numbers
    refused: Numbers
    indeterminate: Numbers

    @classmethod
    def of(cls, recordings: Iterable[Recording]) -> Self:
        """The fates of all requests of a run; each of its recordings is a series of its own."""
        ordered = sorted(recordings, key=lambda recording: recording.series)

        def ended(outcome: Outcome) -> Numbers:
            return np.concatenate([recording.numbers(outcome) for recording in ordered])

        return cls(
            acked=ended(Outcome.ACKED),
            refused=ended(Outcome.REFUSED),
            indeterminate=ended(Outcome.INDETERMINATE),
        )

    def known(self) -> Numbers:
        """All of them, in ascending order."""
        return np.sort(np.concatenate([self.acked, self.refused, self.indeterminate]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """
    The numbers the database holds, each once, and how many times it holds each.

    `stranger` is an id that the query gave as well and that is none of the run's.
    """

    numbers: Numbers
    counts: Numbers
    stranger: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """
    The reconciled run.

    `kept` was acknowledged and is held; `lost` was acknowledged and is nowhere; `duplicated` had
    its effect more than once; `phantom` was refused and is there all the same; `recovered` was
    indeterminate and is there; `in_queue` waits for its effect, and `waiting` is what of it was
    acknowledged. A request in the queue is neither lost nor done. `pending` has had its effect and
    is in the queue all the same: it may have it once more. `refused_waiting` was refused and may
    have its effect yet.

    It is `steady` if the database showed the same twice in a row. `doubt` says why what is lost
    may wait somewhere instead.
    """

    acked_count: int
    refused_count: int
    indeterminate_count: int
    kept: Numbers
    lost: Numbers
    duplicated: Numbers
    phantom: Numbers
    recovered: Numbers
    in_queue: Numbers
    waiting: Numbers
    refused_waiting: Numbers
    pending: Numbers
    steady: bool
    doubt: str | None = None

    def doubted(self, doubt: str | None) -> "Ledger":
        """This ledger with a doubt about what it calls lost."""
        return replace(self, doubt=doubt)


def reconcile(fates: Fates, held: Held, queued: Numbers, *, steady: bool = True) -> Ledger:
    """
    Hold the fates of all requests against what the database and the queue have.

    Every array of numbers is in ascending order, each number once.
    """
    acked_held = are_in(fates.acked, held.numbers)
    acked_queued = are_in(fates.acked, queued)
    queued_held = are_in(queued, held.numbers)
    return Ledger(
        acked_count=len(fates.acked),
        refused_count=len(fates.refused),
        indeterminate_count=len(fates.indeterminate),
        kept=fates.acked[acked_held],
        lost=fates.acked[~acked_held & ~acked_queued],
        duplicated=held.numbers[held.counts > 1],
        phantom=fates.refused[are_in(fates.refused, held.numbers)],
        recovered=fates.indeterminate[are_in(fates.indeterminate, held.numbers)],
        in_queue=queued[~queued_held],
        waiting=fates.acked[~acked_held & acked_queued],
        refused_waiting=fates.refused[are_in(fates.refused, queued)],
        pending=queued[queued_held],
        steady=steady,
    )


def are_in(numbers: Numbers, others: Numbers) -> NDArray[np.bool_]:
    """
    For each of `numbers`, whether it is among `others`; `others` are in ascending order.

    A binary search each, which beats numpy's own set routines a hundred times on a million.
    """
    if not len(others):
        return np.zeros(len(numbers), dtype=np.bool_)
    at = np.minimum(np.searchsorted(others, numbers), len(others) - 1)
    found: NDArray[np.bool_] = others[at] == numbers
    return found
