"""What a load amounted to, from its recording and the generator's report."""

from dataclasses import dataclass
from typing import Self

from perfchaos.recording import Recording, Second
from perfchaos.sqlstates import class_label
from perfchaos.workload.arrivals import Arrivals
from perfchaos.workload.health import unsound
from perfchaos.workload.plan import Plan
from perfchaos.workload.tally import Tally
from perfchaos.workload.thresholds import Judged, Threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Milliseconds; None without samples."""

    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p99_9: float | None
    max: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSummary:
    """
    The results of a load.

    `latency_ms` counts from the intended instant, `service_ms` from the real sending; in the
    closed model the two are the same and tell nothing of what waiting customers would see.
    `invalid_because` is empty when the generator kept up.
    """

    model: str
    """`open` or `closed`."""
    duration_s: float
    planned_count: int
    acked_count: int
    refused_count: int
    indeterminate_count: int
    dropped_count: int
    in_flight_count: int
    rate_per_s: float | None
    error_ratio: float | None
    latency_ms: Percentiles
    service_ms: Percentiles
    classes: dict[str, int]
    """Replies by HTTP status, failures by their name."""
    sqlstates: dict[str, int]
    """Classes of SQLSTATE that replies named."""
    seconds: tuple[Second, ...]
    generator: Tally | None
    invalid_because: tuple[str, ...]
    thresholds: tuple[Judged, ...]

    @property
    def passed(self) -> bool:
        """Something was acked, and every threshold was met."""
        return self.acked_count > 0 and all(judged.passed for judged in self.thresholds)

    @classmethod
    def of(
        cls,
        plan: Plan,
        recording: Recording,
        tally: Tally | None,
        thresholds: tuple[Threshold, ...] = (),
    ) -> Self:
        """The summary of what `recording` holds by now."""
        window = recording.whole()
        if tally is not None:
            end_ns = recording.epoch_ns + int(tally.sending_s * 1e9)
            window = recording.between(recording.epoch_ns, end_ns)
        return cls(
            model="open" if isinstance(plan.load, Arrivals) else "closed",
            duration_s=window.duration_s,
            planned_count=recording.planned_count,
            acked_count=window.acked_count,
            refused_count=window.refused_count,
            indeterminate_count=window.indeterminate_count,
            dropped_count=window.dropped_count,
            in_flight_count=recording.in_flight_count,
            rate_per_s=window.rate_per_s,
            error_ratio=window.error_ratio,
            latency_ms=Percentiles(**{k: window.latency_ms(q) for k, q in _QUANTILES.items()}),
            service_ms=Percentiles(**{k: window.service_ms(q) for k, q in _QUANTILES.items()}),
            classes=window.by_class(),
            sqlstates={class_label(c): count for c, count in window.by_sqlstate().items()},
            seconds=window.per_second(),
            generator=tally,
            invalid_because=unsound(tally) if isinstance(plan.load, Arrivals) else (),
            thresholds=tuple(threshold.judge(window) for threshold in thresholds),
        )


_QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999, "max": 1.0}
