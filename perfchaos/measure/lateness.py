"""
How late the load generator itself was, phase by phase.

A stall of a third of a second is nothing in the whole of a long run, and all of the 99th percentile
of a short phase: it would be blamed on the target.
"""

import math
from collections.abc import Sequence

import numpy as np

from perfchaos.measure.phases import took_ns
from perfchaos.phases import Instants, belong, lived
from perfchaos.recording import Recording
from perfchaos.timeline import Span
from perfchaos.workload.health import late


def late_phases(recording: Recording, spans: Sequence[Span], *, now_ns: int) -> tuple[str, ...]:
    """In which phases the generator was late, and how; empty when it was punctual in each."""
    samples, turned_ns = recording.samples_and_turns()
    due_ns = samples["intended_ns"] + recording.epoch_ns
    done_ns = due_ns + took_ns(samples)
    lag_ns = turned_ns - samples["intended_ns"]
    return tuple(
        f"in the {phase}, {why}"
        for phase in lived(spans)
        if len(own := lag_ns[belong(due_ns, done_ns, spans, phase, now_ns=now_ns)])
        for why in late(_quantile_ms(own, 0.5), _quantile_ms(own, 0.99))
    )


def _quantile_ms(lags_ns: Instants, quantile: float) -> float:
    """Nearest rank."""
    rank = max(math.ceil(quantile * len(lags_ns)), 1) - 1
    return float(np.partition(lags_ns, rank)[rank]) / 1e6
