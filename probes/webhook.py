"""What clients of the webhook endpoint see: one measurement for each phase lived through."""

from typing import Any

from perfchaos.measure import fallback, webhook
from perfchaos.run import current
from perfchaos.run.breaking_point import capacity_of
from perfchaos.timeline import Phase

__all__ = [
    "capacity",
    "error_ratio",
    "goodput_ratio",
    "latency_inflation",
    "latency_p99",
    "sustained_rate",
    "throughput",
    "time_to_fallback",
]


def capacity() -> list[dict[str, Any]]:
    """The greatest rate at which the promises held, as the method searched for it."""
    return [capacity_of(current()).as_dict()]


def error_ratio(phases: list[str] | None = None) -> list[dict[str, Any]]:
    """The share of planned requests that was not acknowledged (0 to 1)."""
    return current().measure(webhook.error_ratio, phases)


def latency_p99(phases: list[str] | None = None) -> list[dict[str, Any]]:
    """The 99th percentile of the latency from the intended send time, in milliseconds."""
    return current().measure(webhook.latency_p99, phases)


def sustained_rate(phases: list[str] | None = None) -> list[dict[str, Any]]:
    """Acknowledged requests per second: at least so many where all that came was kept up with."""
    return current().measure(webhook.sustained_rate, phases)


def throughput(phases: list[str] | None = None) -> list[dict[str, Any]]:
    """Acknowledged requests per second."""
    return current().measure(webhook.throughput, phases)


def latency_inflation(phases: list[str] | None = None) -> list[dict[str, Any]]:
    """How many times the latency p99 of the baseline it is."""
    baseline = current().window(Phase.BASELINE)
    return current().measure(
        lambda window, phase: fallback.latency_inflation(window, baseline, phase), phases
    )


def goodput_ratio(phases: list[str] | None = None, drain_s: float = 15.0) -> list[dict[str, Any]]:
    """
    What was acknowledged and later found persisted, relative to the baseline (1: as much).

    In the outage only what was acknowledged before the heal counts: the rest is the dependency's.
    Like the ledger's probes it waits first, for `drain_s` at most, until what was acknowledged has
    had its effect.
    """
    run = current()
    wanted = run.phases_to_measure(phases)
    samples = {phase: run.samples(phase) for phase in (*wanted, Phase.BASELINE)}
    lived = {phase: run.stretches(phase) for phase in wanted}
    ledger = run.reconcile(drain_s)
    return [
        fallback.goodput_ratio(
            samples[phase],
            samples[Phase.BASELINE],
            ledger,
            phase,
            epoch_ns=run.recording.epoch_ns,
            lived=lived[phase],
        ).as_dict()
        for phase in wanted
    ]


def time_to_fallback(
    good_ratio: float = 0.9, phases: list[str] | None = None
) -> list[dict[str, Any]]:
    """
    Seconds until in every second at least `good_ratio` of the requests were acknowledged.

    What is acknowledged only when the dependency is back is none of the fallback's.
    """
    run = current()
    baseline = run.samples(Phase.BASELINE)
    return [
        fallback.time_to_fallback(
            run.samples(phase),
            baseline,
            phase,
            epoch_ns=run.recording.epoch_ns,
            lived=run.stretches(phase),
            good_ratio=good_ratio,
        ).as_dict()
        for phase in run.phases_to_measure(phases)
    ]
