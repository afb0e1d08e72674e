"""What a workload process reports of itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

_HELD_UP_PROOF_COUNT = 3


def held_up(held_up_count: int, parted_count: int) -> bool:
    """
    Whether the target makes requests wait for idle connections.

    At least three were answered at once when these had been closed, and at least half of all: by
    chance they are fewer.
    """
    return held_up_count >= max(_HELD_UP_PROOF_COUNT, parted_count / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """
    Counts of requests, bytes, and how punctual the generator was itself.

    A lag reaches from the intended instant to the generator's turning to the request, in steps of
    10 µs (None before the first request, and in the closed model, which has no plan to lag behind);
    waiting for a busy target is not in it.
    """

    planned_count: int
    acked_count: int
    refused_count: int
    indeterminate_count: int
    dropped_count: int
    in_flight_count: int
    own_limit_count: int
    """Dropped because the generator's machine had no descriptor, port or memory left."""
    sent_bytes: int
    received_bytes: int
    lag_p50_ms: float | None
    lag_p99_ms: float | None
    lag_max_ms: float | None
    cpu_s: float
    cpu_ratio: float
    """Share of one core; of several processes the busiest."""
    sending_s: float
    """From the epoch to the end of sending, or until now."""
    elapsed_s: float
    """From the epoch until now, draining included."""
    parted_count: int = 0
    """How often all idle connections were closed because a first request on another waited."""
    held_up_count: int = 0
    """First requests that were answered at once when the idle connections had been closed."""

    @classmethod
    def merged(cls, parts: Sequence[Self]) -> Self:
        """Of several processes: counts and CPU time summed, of lags and times the worst."""
        summed = {
            name: sum(getattr(part, name) for part in parts)
            for name in cls.__slots__
            if name.endswith(("_count", "_bytes"))
        }
        return cls(
            **summed,
            lag_p50_ms=_worst([part.lag_p50_ms for part in parts]),
            lag_p99_ms=_worst([part.lag_p99_ms for part in parts]),
            lag_max_ms=_worst([part.lag_max_ms for part in parts]),
            cpu_s=sum(part.cpu_s for part in parts),
            cpu_ratio=max(part.cpu_ratio for part in parts),
            sending_s=max(part.sending_s for part in parts),
            elapsed_s=max(part.elapsed_s for part in parts),
        )


def _worst(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
