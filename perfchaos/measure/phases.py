"""
Cuts a recording into the phases of its run.

A request belongs to the outage if any moment of its life fell into it: one sent a millisecond
before the fault and caught by it is the fault's victim, not a blemish of the baseline, and one
sent a millisecond before the heal is not a failure of the recovery.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from perfchaos.recording import Recording, Window
from perfchaos.recording.reader import Samples
from perfchaos.timeline import Phase, Span


def lived(spans: Iterable[Span]) -> tuple[Phase, ...]:
    """The phases there have been, in the order of a run."""
    seen = {span.phase for span in spans}
    return tuple(phase for phase in Phase if phase in seen)


def window_of(recording: Recording, spans: Sequence[Span], phase: Phase, *, now_ns: int) -> Window:
    """The window of all samples of `phase`, as `samples_of` gives them."""
    wanted = [span for span in spans if span.phase is phase]
    return Window.of(
        samples_of(recording, spans, phase, now_ns=now_ns),
        epoch_ns=recording.epoch_ns,
        start_ns=wanted[0].start_ns if wanted else now_ns,
        duration_ns=sum((span.end_ns or now_ns) - span.start_ns for span in wanted),
    )


def samples_of(
    recording: Recording, spans: Sequence[Span], phase: Phase, *, now_ns: int
) -> Samples:
    """
    All samples of `phase`, over all of its spans; one that still lasts reaches to `now_ns`.

    Samples are left out while their request is in flight: a phase that still lasts holds what is
    known of it so far.
    """
    samples = recording.samples()
    start_ns = samples["intended_ns"] + recording.epoch_ns
    end_ns = start_ns + (samples["lateness_us"].astype(np.int64) + samples["service_us"]) * 1_000
    harmed = _any(
        (start_ns < (span.end_ns or now_ns)) & (end_ns > span.start_ns)
        for span in spans
        if span.phase is Phase.OUTAGE
    )
    if phase is Phase.OUTAGE:
        inside = harmed
    else:
        intended = _any(
            (start_ns >= span.start_ns) & (start_ns < (span.end_ns or now_ns))
            for span in spans
            if span.phase is phase
        )
        inside = intended & ~harmed if np.ndim(harmed) else intended
    return _where(samples, inside)


def _any(masks: Iterable[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    total = np.zeros((), dtype=np.bool_)
    for mask in masks:
        total = total | mask
    return total


def _where(samples: Samples, inside: NDArray[np.bool_]) -> Samples:
    return samples[inside] if np.ndim(inside) else samples[:0]
