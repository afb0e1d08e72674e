"""Cuts a recording into the phases of its run."""

from collections.abc import Sequence

import numpy as np

from perfchaos.phases import Instants, belong
from perfchaos.recording import Recording, Window
from perfchaos.recording.reader import Samples
from perfchaos.timeline import Phase, Span


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
    return samples[belong(start_ns, start_ns + took_ns(samples), spans, phase, now_ns=now_ns)]


def took_ns(samples: Samples) -> Instants:
    """From the intended instant to the end of each request."""
    took_us: Instants = samples["lateness_us"].astype(np.int64) + samples["service_us"]
    return took_us * 1_000
