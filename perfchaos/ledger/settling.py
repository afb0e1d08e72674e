"""Waits until what was acknowledged has had its effect, then reconciles."""

import time
from collections.abc import Callable

import numpy as np

from perfchaos.ledger.database import held_by_database
from perfchaos.ledger.queue import queued_numbers
from perfchaos.ledger.reconciling import Fates, Ledger, Numbers, are_in, reconcile
from perfchaos.target import Target

LOOK_EVERY_S = 0.25


def settle(
    target: Target, seed: int, fates: Fates, *, drain_s: float, wait: Callable[[float], None]
) -> Ledger:
    """
    The ledger of `fates`, once all that was acknowledged is held or `drain_s` is over.

    `wait` pauses for so many seconds between two looks.

    Raises:
        PerfchaosError: Postgres cannot be asked; or something is missing there and the queue
            cannot be asked whether it still waits.

    """
    deadline_s = time.monotonic() + drain_s
    while True:
        asked_s = time.monotonic()
        held = held_by_database(target, seed)
        if are_in(fates.acked, held.numbers).all():
            return reconcile(fates, held, np.empty(0, dtype=np.int64))
        if time.monotonic() >= deadline_s:
            break
        # A ledger that takes long to read is read less often: it shares the server with the target.
        wait(max(LOOK_EVERY_S, 2 * (time.monotonic() - asked_s)))
    # In the direction the messages take: one that goes over in between is seen at both ends, and
    # in the other order it would be seen at neither.
    queued = _queued(target, seed)
    return reconcile(fates, held_by_database(target, seed), queued)


def _queued(target: Target, seed: int) -> Numbers:
    if target.redis is None or target.redis.queue is None:
        return np.empty(0, dtype=np.int64)
    return queued_numbers(target, seed)
