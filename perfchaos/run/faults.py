"""The faults of a run, read from its timeline."""

from collections.abc import Sequence
from dataclasses import replace

from perfchaos.run.proxy import PAST_THE_PROXY
from perfchaos.timeline import Event, Fact
from perfchaos.verdict import FaultReport


def fault_reports(events: Sequence[Event], started_ns: int) -> tuple[FaultReport, ...]:
    """One report for each fault injected, in order; what did not happen to it is None."""
    return tuple(
        replace(
            _report(
                event, [other for other in events if _lease(other) == _lease(event)], started_ns
            ),
            bypassed_by=_bypassed_by(event, events),
        )
        for event in events
        if event.name == "fault injected"
    )


def _report(injected: Event, about: Sequence[Event], started_ns: int) -> FaultReport:
    # The last of a kind counts: a healer that was overtaken may have spoken before.
    last = {event.name: event for event in about}
    in_force, normal = last.get("fault in force"), last.get("fault back to normal")
    healed = last.get("fault healed")
    return FaultReport(
        kind=str(injected.facts["kind"]),
        dependency=str(injected.facts["dependency"]),
        mechanism=str(injected.facts["mechanism"]),
        injected_at_s=_seconds(injected, started_ns),
        seen=str(in_force.facts["seen"]) if in_force else None,
        in_force_after_ms=_number(in_force, "after_ms"),
        healed_at_s=_seconds(healed, started_ns) if healed else None,
        normal_after_ms=_number(normal, "after_ms"),
    )


def _bypassed_by(injected: Event, events: Sequence[Event]) -> str | None:
    """Who was seen past the proxy just before the fault of the same dependency."""
    seen = [
        event
        for event in events
        if event.name == PAST_THE_PROXY
        and event.at_ns < injected.at_ns
        and event.facts["dependency"] == injected.facts["dependency"]
    ]
    return str(seen[-1].facts["who"]) if seen else None


def _lease(event: Event) -> Fact:
    return event.facts.get("lease")


def _seconds(event: Event, started_ns: int) -> float:
    return round((event.at_ns - started_ns) / 1e9, 3)


def _number(event: Event | None, key: str) -> float | None:
    value = event.facts.get(key) if event else None
    return round(value, 1) if isinstance(value, int | float) else None
