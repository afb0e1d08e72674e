"""
Which phase of a run something belongs to: one definition, for requests, rounds and looks alike.

What has a duration belongs to the outage if any moment of its life fell into it. A request sent a
millisecond before the fault and caught by it is the fault's victim, not a blemish of the baseline,
and one sent a millisecond before the heal is not a failure of the recovery.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from perfchaos.timeline import Phase, Span

type Instants = NDArray[np.int64]
type Mask = NDArray[np.bool_]


def lived(spans: Iterable[Span]) -> tuple[Phase, ...]:
    """The phases there have been, in the order of a run."""
    seen = {span.phase for span in spans}
    return tuple(phase for phase in Phase if phase in seen)


def after_harm(*, harmed: bool) -> Phase:
    """
    The phase that a measurement of the time after a fault speaks of.

    Before there has been a fault the same is asked of the healthy baseline.
    """
    return Phase.RECOVERY if harmed else Phase.BASELINE


def belong(
    start_ns: Instants, end_ns: Instants, spans: Sequence[Span], phase: Phase, *, now_ns: int
) -> Mask:
    """
    Whether what lasted from `start_ns` to `end_ns` belongs to `phase`; of moments both are equal.

    A span that still lasts reaches to `now_ns`. Nothing belongs to two phases.
    """
    # What takes no time at all is at its moment all the same.
    last_ns = np.maximum(end_ns, start_ns + 1)
    harmed = _any_of(
        start_ns,
        (
            (start_ns < _end_ns(span, now_ns)) & (last_ns > span.start_ns)
            for span in spans
            if span.phase is Phase.OUTAGE
        ),
    )
    if phase is Phase.OUTAGE:
        return harmed
    begun = _any_of(
        start_ns,
        (
            (start_ns >= span.start_ns) & (start_ns < _end_ns(span, now_ns))
            for span in spans
            if span.phase is phase
        ),
    )
    return begun & ~harmed


def _end_ns(span: Span, now_ns: int) -> int:
    return now_ns if span.end_ns is None else span.end_ns


def _any_of(instants: Instants, masks: Iterable[Mask]) -> Mask:
    found = np.zeros(len(instants), np.bool_)
    for mask in masks:
        found |= mask
    return found
