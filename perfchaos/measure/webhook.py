"""What the client of the webhook endpoint lived through, phase by phase."""

from perfchaos.measure.shares import reaches
from perfchaos.recording import Window
from perfchaos.sqlstates import class_label
from perfchaos.timeline import Fact, Phase
from perfchaos.verdict import SEEN, Measurement


def error_ratio(window: Window, phase: Phase | None) -> Measurement:
    """The share of the planned requests that was not acknowledged, those never sent included."""
    return Measurement(
        name="error_ratio",
        phase=phase,
        value=window.error_ratio,
        unit="ratio",
        samples=window.planned_count,
        evidence={
            "acked": window.acked_count,
            "refused": window.refused_count,
            "indeterminate": window.indeterminate_count,
            "dropped": window.dropped_count,
            **_seen(window),
            **{class_label(code): count for code, count in window.by_sqlstate().items()},
        },
    )


def latency_p99(window: Window, phase: Phase | None) -> Measurement:
    """The 99th percentile of the time from the intended send to the end of the reply."""
    return Measurement(
        name="latency_p99_ms",
        phase=phase,
        value=window.latency_ms(0.99),
        unit="ms",
        samples=window.latency_count,
        evidence={
            "p50_ms": window.latency_ms(0.50),
            "p95_ms": window.latency_ms(0.95),
            "p99_9_ms": window.latency_ms(0.999),
            "max_ms": window.latency_ms(1.0),
            "service_p99_ms": window.service_ms(0.99),
            **({} if window.latency_count else _seen(window)),
        },
    )


def _seen(window: Window) -> dict[str, Fact]:
    """How many requests ended in which way."""
    return {f"{SEEN}{name}": count for name, count in window.by_class().items()}


# Fewer than this of the planned requests acknowledged, and the target did not keep up.
_KEPT_UP_RATIO = 0.99


def sustained_rate(window: Window, phase: Phase | None) -> Measurement:
    """
    Acknowledged requests per second; a lower bound where nearly all that came was acknowledged.

    A target that keeps up with what it is offered shows no more of what it can do.
    """
    acked, planned = window.acked_count, window.planned_count
    kept_up = planned > 0 and reaches(acked, planned, _KEPT_UP_RATIO)
    return Measurement(
        name="sustained_per_s",
        phase=phase,
        value=window.rate_per_s,
        unit="1/s",
        samples=planned,
        evidence={"planned": planned, "acked": acked, "kept_up": kept_up},
        lower_bound=kept_up,
    )


def throughput(window: Window, phase: Phase | None) -> Measurement:
    """Acknowledged requests per second."""
    return Measurement(
        name="throughput_per_s",
        phase=phase,
        value=window.rate_per_s,
        unit="1/s",
        samples=window.planned_count,
        evidence={"planned": window.planned_count, "acked": window.acked_count},
    )
