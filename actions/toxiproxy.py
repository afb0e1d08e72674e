"""
Any toxic of the Toxiproxy server, at the proxy of Redis or Postgres.

`toxic` takes Toxiproxy's own names: `latency` (latency and jitter in ms), `bandwidth` (rate in
KB/s), `slow_close` (delay in ms), `timeout` and `reset_peer` (timeout in ms), `slicer`
(average_size and size_variation in bytes, delay in µs), `limit_data` (bytes). `toxicity` is the
share of connections it is drawn for, `stream` the way its data go: "downstream" from the dependency
to the target, or "upstream".
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from perfchaos.errors import InvalidInput
from perfchaos.faults import ChangingToxic, DisabledProxy, Toxic
from perfchaos.run import behind_proxy, scene

__all__ = ["disable", "toxic", "toxic_in_stages"]

HEAL_WITHIN_S = 5.0

type Dependency = Literal["redis", "postgres"]
type Stream = Literal["upstream", "downstream"]


def disable(dependency: Dependency, duration_s: float) -> None:
    """Disable the proxy for `duration_s` seconds: connections are cut, and then refused."""
    run = scene()
    fault = DisabledProxy(on=behind_proxy(run, dependency))
    with run.outage(fault, at_most_s=duration_s + HEAL_WITHIN_S) as injected:
        injected.hold(duration_s)


def toxic(
    dependency: Dependency,
    type: str,  # noqa: A002 - Toxiproxy's own name
    duration_s: float,
    attributes: Mapping[str, int],
    stream: Stream = "downstream",
    toxicity: float = 1.0,
) -> None:
    """Add a toxic for `duration_s` seconds."""
    run = scene()
    fault = Toxic(
        on=behind_proxy(run, dependency),
        type=type,
        stream=stream,
        toxicity=toxicity,
        attributes=attributes,
    )
    with run.outage(fault, at_most_s=duration_s + HEAL_WITHIN_S) as injected:
        injected.hold(duration_s)


def toxic_in_stages(
    dependency: Dependency,
    type: str,  # noqa: A002 - Toxiproxy's own name
    stages: Sequence[Mapping[str, Any]],
    stream: Stream = "downstream",
) -> None:
    """
    Add a toxic and change it while it is in force.

    A stage is {duration_s, attributes} and optionally {toxicity}; the outage lasts from the first
    to the last.
    """
    run = scene()
    on = behind_proxy(run, dependency)
    if mistakes := _mistakes(stages):
        raise InvalidInput("the stages of a toxic", mistakes, next_step="correct the experiment")
    fault = ChangingToxic(
        stages=tuple(
            Toxic(
                on=on,
                type=type,
                stream=stream,
                toxicity=stage.get("toxicity", 1.0),
                attributes=stage["attributes"],
            )
            for stage in stages
        )
    )
    duration_s = sum(stage["duration_s"] for stage in stages)
    with run.outage(fault, at_most_s=duration_s + HEAL_WITHIN_S) as injected:
        injected.hold(stages[0]["duration_s"])
        for toxic, stage in zip(fault.stages[1:], stages[1:], strict=True):
            fault.change_to(toxic, injected.lease.undo)
            run.timeline.record("fault changed", lease=injected.lease.id, **stage["attributes"])
            injected.hold(stage["duration_s"])


def _mistakes(stages: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [] if stages else ["there are none"]
    for number, stage in enumerate(stages, start=1):
        if unknown := set(stage) - {"duration_s", "attributes", "toxicity"}:
            found.append(f"stage {number} has the unknown key {', '.join(sorted(unknown))}")
        found += [
            f"stage {number} has no {key}"
            for key in ("duration_s", "attributes")
            if key not in stage
        ]
    return found
