"""The guard of an experiment: it stops what grows, and lets alone what is well."""

from typing import Any

import pytest

from perfchaos import processes
from tests.run.conftest import Chaos

QUEUE_GUARD = {"stop_when": "probe", "function": "probes.redis.queue_depth", "window_s": 0.5}


def guarded(chaos: Chaos, *conditions: dict[str, Any]) -> dict[str, Any]:
    """A silent Redis under a guard."""
    experiment = chaos.experiment("redis-timeout.yaml")
    experiment["controls"][0]["provider"]["arguments"]["guard"] = list(conditions)
    return experiment


def test_a_queue_that_grows_too_long_stops_the_run_before_it_is_harmed(chaos: Chaos) -> None:
    worker = chaos.stack.pid_file("worker")
    processes.pause(worker)
    try:
        ended = chaos.run(guarded(chaos, {**QUEUE_GUARD, "above": 50}), baseline_s=20)
    finally:
        processes.resume(worker)
    assert ended.exit_code == 1
    assert ended.verdict["status"] == "aborted"
    assert ended.verdict["faults"] == []
    assert any("queue_depth above 50 for 0.5 s" in why for why in ended.verdict["reasons"])


def test_a_guard_lets_a_sound_system_alone(chaos: Chaos) -> None:
    conditions = [
        {**QUEUE_GUARD, "above": 1000},
        {"stop_when": "error_ratio", "above": 0.5, "window_s": 2},
        {"stop_when": "latency_p99_ms", "above": 5000, "window_s": 2},
    ]
    ended = chaos.run(guarded(chaos, *conditions), outage_s=1, recovery_s=1)
    assert ended.verdict["status"] == "completed", ended.said


@pytest.mark.parametrize("function", ["probes.redis.depth_of_queue", "nowhere.to.be.found"])
def test_a_misspelt_guard_is_refused_before_anything_starts(chaos: Chaos, function: str) -> None:
    ended = chaos.run(guarded(chaos, {**QUEUE_GUARD, "function": function, "above": 1}))
    assert ended.exit_code == 1
    assert ended.verdict == {}
    assert function in ended.said
