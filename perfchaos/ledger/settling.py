"""Waits until what was acknowledged has had its effect, then reconciles."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from perfchaos.errors import PerfchaosError
from perfchaos.ledger.database import held_by_database
from perfchaos.ledger.elsewhere import waiting_elsewhere
from perfchaos.ledger.queue import Queued, queued_by_redis, together
from perfchaos.ledger.reconciling import Fates, Held, Ledger, Numbers, are_in, reconcile
from perfchaos.recording.ids import first_and_last, id_of, prefix_of
from perfchaos.target import Target

LOOK_EVERY_S = 0.25

# So many ids, each held at least as often as there are ids, are no duplicates: the count is over
# all rows.
_COUNTED_TOGETHER_MIN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The queue, and after it the database, at one look."""

    queued: Queued
    held: Held


@dataclass(slots=True, kw_only=True)
class Books:
    """
    The books of one run: where what it promised is looked up, and what the look-ups have shown.

    `look` asks the queue and then the database. `query_proven` and `queue_proven` are set once the
    one and the other have shown an id of the run: from then on what they do not show is not there.
    """

    look: Callable[[], Look]
    seed: int
    query_proven: bool = False
    queue_proven: bool = False

    @classmethod
    def of(cls, target: Target, seed: int) -> "Books":
        """The books of the run with this seed, as the target file says where they are."""
        return cls(look=lambda: _look(target, seed), seed=seed)

    def settle(
        self,
        fates: Fates,
        *,
        drain_s: float,
        wait: Callable[[float], None],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> Ledger:
        """
        The ledger of `fates`, once nothing of them is pending and two looks agree.

        After `drain_s` it is what it is then. `wait` pauses for so many seconds between two looks.
        Two they are in any case: a duplicate may be on its way when the first sees all at its end.

        Raises:
            PerfchaosError: Postgres or the queue cannot be asked; or the ledger query shows nothing
                of the run, so that nothing follows from what it does not show.

        """
        deadline_s = clock_s() + drain_s
        known = fates.known()
        asked_s = clock_s()
        before, last = None, self._looked(known)
        while before is None or (
            not _is_settled(before, last, fates.acked, known) and clock_s() < deadline_s
        ):
            # A ledger that takes long to read is read less often: it shares the server with the
            # target.
            wait(max(LOOK_EVERY_S, 2 * (clock_s() - asked_s)))
            asked_s = clock_s()
            before, last = last, self._looked(known)
        self._require_proof(fates, last)
        ledger = reconcile(
            fates, last.held, last.queued.numbers, steady=_agree(before.held, last.held, known)
        )
        return ledger.doubted(self._doubt(last.queued)) if len(ledger.lost) else ledger

    def _looked(self, known: Numbers) -> Look:
        """A look at what is known of: while the load goes on there is always more in the queue."""
        look = self.look()
        self.query_proven |= len(look.held.numbers) > 0
        self.queue_proven |= len(look.queued.numbers) > 0
        numbers = look.queued.numbers[are_in(look.queued.numbers, known)]
        if look.queued.kept:
            numbers = numbers[~are_in(numbers, look.held.numbers)]
        return Look(
            queued=look.queued.only(numbers),
            held=look.held,
        )

    def _require_proof(self, fates: Fates, last: Look) -> None:
        """Raise, naming the query, where what it shows cannot be what the database holds."""
        counts = last.held.counts
        if len(counts) >= _COUNTED_TOGETHER_MIN and counts.min() >= len(counts):
            raise PerfchaosError(
                f"the ledger query says that each of {len(counts):,} ids is held "
                f"{counts.min():,} times or more: it counts the rows of all ids together",
                next_step="let its second column count the rows of the id in the first (GROUP BY)",
            )
        if self.query_proven or are_in(fates.acked, last.queued.numbers).all():
            return
        first, end = first_and_last(self.seed)
        doubt = self._doubt(last.queued)
        shown = "it gave no row"
        if last.held.stranger is not None:
            shown = f"it gave, for one, {last.held.stranger!r}"
            if prefix_of(self.seed).replace("-", "") in last.held.stranger.replace("-", ""):
                shown += ", which is an id of this run in another form"
        raise PerfchaosError(
            f"the ledger query shows none of the {len(fates.acked):,} requests that were "
            f"acknowledged: {shown}{f'; and {doubt}' if doubt else ''}",
            next_step=f"run it by hand between {first} and {end}: it has to give ids as they were "
            f"sent, such as {id_of(self.seed, int(fates.acked[0]))}. If the effects are not there "
            "either, they wait where redis.queue does not look, or nothing is kept of what is "
            "acknowledged",
        )

    def _doubt(self, queued: Queued) -> str | None:
        """Why what the queue does not show may wait all the same; None if it may not."""
        if queued.overlooked is not None:
            return queued.overlooked
        if self.queue_proven or not queued.entries_count:
            return None
        return (
            f"none of the {queued.entries_count:,} entries of the queue shows an id of the run, "
            "so nobody can tell what waits there: see redis.queue in the target file"
        )


def _is_settled(before: Look, last: Look, acked: Numbers, known: Numbers) -> bool:
    """Whether all is held, nothing is pending, and nothing has changed since the look before."""
    pending_count = len(before.queued.numbers) + len(last.queued.numbers)
    all_held = bool(are_in(acked, last.held.numbers).all())
    return not pending_count and all_held and _agree(before.held, last.held, known)


def _agree(before: Held, last: Held, known: Numbers) -> bool:
    """Whether both looks show the same of what is known of, each as often."""
    ours = [are_in(held.numbers, known) for held in (before, last)]
    return np.array_equal(before.numbers[ours[0]], last.numbers[ours[1]]) and np.array_equal(
        before.counts[ours[0]], last.counts[ours[1]]
    )


def _look(target: Target, seed: int) -> Look:
    # In the direction the messages take: one that goes over in between is seen at both ends, and
    # in the other order it would be seen at neither.
    found = [waiting_elsewhere(target, seed)]
    if target.redis is not None and target.redis.queue is not None:
        found.append(queued_by_redis(target, seed))
    return Look(queued=together(found), held=held_by_database(target, seed))
