"""What every run asks, whatever its experiment does: is its baseline well, what is left behind."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import redis

from perfchaos.launches import read_environment_file
from perfchaos.stack.ports import HOST
from tests.run.conftest import Chaos, await_event
from tests.stack import clients


def _asks_for_nothing_but_the_recovery(chaos: Chaos) -> dict[str, Any]:
    experiment = chaos.experiment("redis-timeout.yaml")
    hypothesis = experiment["steady-state-hypothesis"]
    hypothesis["probes"] = [
        {
            "name": "what is sent after the recovery succeeds",
            "type": "probe",
            "provider": {"type": "python", "module": "probes.recovery", "func": "success_ratio"},
            "tolerance": {
                "type": "probe",
                "name": "any",
                "provider": {
                    "type": "python",
                    "module": "probes.band",
                    "func": "at_least",
                    "arguments": {"good": 0},
                },
            },
        }
    ]
    return experiment


def test_a_baseline_that_fails_is_no_yardstick_and_nothing_is_harmed(chaos: Chaos) -> None:
    target = chaos.target
    target["webhook"]["acknowledged"] = [299]
    target["webhook"]["refused"] = [202, 503]
    ended = chaos.run(_asks_for_nothing_but_the_recovery(chaos), target=target)
    assert ended.exit_code == 1, ended.said
    assert (ended.verdict["status"], ended.verdict["faults"]) == ("failed", [])
    [why] = ended.verdict["reasons"]
    assert why.startswith("the baseline is not well: ")
    assert "requests were not acknowledged (HTTP 202: " in why


def test_a_slow_baseline_is_as_well_as_its_experiment_says(chaos: Chaos) -> None:
    experiment = _asks_for_nothing_but_the_recovery(chaos)
    experiment["runtime"]["hypothesis"] = {"strategy": "after-method-only"}
    workload = experiment["controls"][0]["provider"]["arguments"]["workload"]
    workload["baseline_p99_ms"] = 0.01
    ended = chaos.run(experiment)
    assert ended.exit_code == 1
    assert (ended.verdict["status"], ended.verdict["faults"]) == ("failed", [])
    assert "(limit 0.01 ms)" in " ".join(ended.verdict["reasons"])


def test_a_health_endpoint_that_is_never_well_is_told_before_the_fault(chaos: Chaos) -> None:
    target = chaos.target
    target["health"]["url"] += "/nowhere"
    ended = chaos.run("postgres-crash.yaml", target=target, baseline_s=6, rate_per_s=100)
    assert ended.exit_code == 1
    assert ended.verdict["faults"] == []
    measured = ended.measured("healthy_while_failing_s", "baseline")
    assert measured["value"] is None
    assert "answered 404 while requests were acknowledged" in measured["evidence"]["why"]


def test_what_an_outage_leaves_behind_is_counted(chaos: Chaos) -> None:
    secrets = read_environment_file(chaos.stack.home / "secrets.env")
    with ExitStack() as left, chaos.start("redis-timeout.yaml", recovery_s=5) as process:
        await_event(chaos, "fault in force")
        for _ in range(6):
            left.enter_context(clients.postgres(chaos.stack))
        for _ in range(40):
            client = redis.Redis(
                host=HOST, port=chaos.stack.ports.redis, password=secrets["REDIS_PASSWORD"]
            )
            left.enter_context(client)
            client.ping()
        ended = chaos.ended(process)
    sessions = ended.measured("sessions_left_count", "recovery")
    assert 2 < sessions["value"] <= 6
    assert (sessions["band"], ended.exit_code) == ("warn", 1)
    assert ended.measured("clients_left_count", "recovery")["band"] == "critical"


def test_a_healthy_system_leaves_nothing_behind(chaos: Chaos, tmp_path: Path) -> None:
    ended = chaos.run("redis-timeout.yaml", recovery_s=5)
    assert ended.exit_code == 0, ended.said
    for name in ("sessions_left_count", "clients_left_count"):
        assert ended.measured(name, "recovery")["band"] in ("excellent", "good")
