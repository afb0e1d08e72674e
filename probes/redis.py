"""
What becomes of the queue in Redis, watched all through the run at Redis's own address.

A queue that is watched through the proxy would be out of sight exactly when it matters.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from perfchaos.errors import PerfchaosError
from perfchaos.measure import queue
from perfchaos.measure.leftovers import left_behind
from perfchaos.observe.queue import QueueLook, QueueReading, queue_look, queue_readings
from perfchaos.run import Run, current
from perfchaos.run.recovering import redis_clients
from perfchaos.target.loading import find_target, load_target
from perfchaos.timeline import Phase
from perfchaos.verdict import Measurement, NotAsked

__all__ = [
    "backlog",
    "clients_left",
    "group_missing",
    "queue_depth",
    "stalled_consumers",
    "time_to_drain",
    "use_ratio",
]


def queue_depth() -> float:
    """
    How many messages wait just now. For a guard, which asks from a process of its own:

        guard: [{stop_when: probe, function: probes.redis.queue_depth, above: 5000, window_s: 2}]

    Raises:
        PerfchaosError: the target names no queue, or it cannot be looked at.

    """
    return float(_look()().waiting)


def backlog(phases: list[str] | None = None) -> list[dict[str, Any]]:
    """The most messages that waited at once."""
    return _of_the_queue(
        "queue_backlog_count",
        lambda run, readings: _in_each(
            phases, lambda phase: queue.backlog(readings, run.spans(), phase)
        ),
    )


def time_to_drain() -> list[dict[str, Any]]:
    """Seconds from the last heal until no more waited than in the baseline."""
    return _of_the_queue(
        "time_to_drain_s",
        lambda run, readings: [queue.time_to_drain(readings, run.spans()).as_dict()],
    )


def stalled_consumers(
    after_s: float = 3.0, phases: Sequence[str] = ("recovery",)
) -> list[dict[str, Any]]:
    """Consumers that took nothing for `after_s` seconds while work waited for them."""
    return _of_the_queue(
        "stalled_consumer_count",
        lambda run, readings: _in_each(
            phases,
            lambda phase: queue.stalled_consumers(readings, run.spans(), phase, after_s=after_s),
        ),
    )


def group_missing() -> list[dict[str, Any]]:
    """Seconds since the last heal without the consumer group."""

    def measure(run: Run, readings: Sequence[QueueReading]) -> list[dict[str, Any]]:
        named = run.target.redis and run.target.redis.queue
        group = named.group if named else None
        return [queue.group_missing(readings, run.spans(), group=group).as_dict()]

    return _of_the_queue("group_missing_s", measure)


def use_ratio(settled_s: float = 5.0) -> list[dict[str, Any]]:
    """
    How much goes through the queue again, `settled_s` after the last heal (1: as before).

    A list keeps no account of what came. It is asked about where Redis tells of events on keys.
    """

    def measure(run: Run, readings: Sequence[QueueReading]) -> list[dict[str, Any]]:
        looks = [one.state for one in readings if one.state is not None]
        if looks and all(look.arrived is None for look in looks):
            why = (
                f"target {run.target.name!r} keeps its queue in lists, and its Redis does not tell "
                "what is pushed to them (notify-keyspace-events Kl)"
            )
            return [NotAsked(name="queue_use_ratio", why=why).as_dict()]

        def acked_between(start_ns: int, end_ns: int) -> int:
            return run.recording.between(start_ns, end_ns).acked_count

        spans = run.spans()
        return [queue.use_ratio(readings, spans, acked_between, settled_s=settled_s).as_dict()]

    return _of_the_queue("queue_use_ratio", measure)


def clients_left(settled_s: float = 3.0) -> list[dict[str, Any]]:
    """
    Clients that an outage has left behind in Redis.

    How many more there are in the end than ever in the baseline, and silent for `settled_s`.
    """
    run, name = current(), "clients_left_count"
    if run.target.redis is None:
        why = f"target {run.target.name!r} has no Redis"
        return [NotAsked(name=name, why=why).as_dict()]
    looks = redis_clients(run, run.target.redis)
    return [
        left_behind(
            looks, run.spans(), name=name, unit="clients", settled_s=settled_s, now_ns=run.now_ns
        ).as_dict()
    ]


@functools.cache
def _look() -> QueueLook:
    """One connection for as long as the process lives."""
    target = load_target(find_target())
    look = queue_look(target)
    if look is None:
        raise PerfchaosError(
            f"target file {target.path} names no queue",
            next_step="add redis.queue with its key and kind, or do without this guard",
        )
    return look


def _of_the_queue(
    name: str, measure: Callable[[Run, Sequence[QueueReading]], list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """What `measure` finds, or that there is nothing to ask: the target has no queue."""
    run = current()
    if run.target.redis is None or run.target.redis.queue is None:
        why = f"target {run.target.name!r} has no queue in Redis"
        return [NotAsked(name=name, why=why).as_dict()]
    return measure(run, queue_readings(run.directory.queue))


def _in_each(
    phases: Sequence[str] | None, measure: Callable[[Phase], Measurement]
) -> list[dict[str, Any]]:
    return [measure(phase).as_dict() for phase in current().phases_to_measure(phases)]
