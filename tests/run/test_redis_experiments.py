"""The Redis experiments as they ship: whole, short enough, and true end to end."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from tests.redis_server import own_all_slots, redis_server
from tests.run.conftest import EXPERIMENTS, Chaos
from tests.stack.conftest import Stack, new_stack

ALL = sorted(path.name for path in EXPERIMENTS.glob("redis-*.yaml"))


def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((EXPERIMENTS / name).read_text())
    return loaded


def test_the_one_in_json_asks_what_the_one_in_yaml_asks() -> None:
    in_json = json.loads((EXPERIMENTS / "redis-refused.json").read_text())
    assert in_json == document("redis-refused.yaml")


def test_every_mode_of_failure_has_its_experiment() -> None:
    modes = {"refused", "timeout", "slow", "flaky", "crash", "recovery"}
    assert {name.removeprefix("redis-").removesuffix(".yaml") for name in ALL} == modes


@pytest.mark.parametrize("name", ALL)
def test_an_experiment_takes_a_minute_at_most(name: str) -> None:
    values = document(name)["configuration"]
    outage_s = values["outage_s"] * values.get("times", 1) + values.get("pause_s", 0) * (
        values.get("times", 1) - 1
    )
    if name == "redis-crash.yaml":
        outage_s = 2 * values["outage_s"] + values["between_s"]
    lasts_s = values["warm_up_s"] + values["baseline_s"] + outage_s + values["recovery_s"]
    assert lasts_s <= 45  # The rest is for starting, draining and judging.


@pytest.mark.parametrize("name", ALL)
def test_all_ask_the_same_and_heal_always(name: str) -> None:
    experiment = document(name)
    assert experiment["runtime"]["rollbacks"]["strategy"] == "always"
    asked = [
        (probe["provider"]["module"], probe["provider"]["func"])
        for probe in experiment["steady-state-hypothesis"]["probes"]
    ]
    first = document(ALL[0])["steady-state-hypothesis"]["probes"]
    assert asked == [(probe["provider"]["module"], probe["provider"]["func"]) for probe in first]


def test_the_tuned_reference_survives_a_crash_with_and_without_its_data(chaos: Chaos) -> None:
    ended = chaos.run("redis-crash.yaml", outage_s=2, between_s=2)
    assert ended.exit_code == 0, ended.said
    assert [(fault["kind"], fault["verified"]) for fault in ended.verdict["faults"]] == [
        ("refused", True),
        ("crash", True),
    ] * 2
    assert all(fault["in_force_after_ms"] is not None for fault in ended.verdict["faults"])
    assert all(fault["normal_after_ms"] is not None for fault in ended.verdict["faults"])
    assert ended.verdict["ledger"]["lost"] == 0
    goodput = ended.measured("goodput_ratio", "outage")
    assert goodput["value"] > 0.95
    assert goodput["evidence"]["interval_95_low"] <= goodput["value"]
    for name in ("stalled_consumer_count", "group_missing_s", "queue_use_ratio"):
        assert ended.measured(name, "recovery")["band"] in ("excellent", "good"), ended.said


@pytest.fixture
def stalling(tmp_path: Path) -> Iterator[Stack]:
    """The reference system with a worker that reconnects and consumes nothing."""
    stack = new_stack(tmp_path / "state")
    stack.up(DEFECTS="worker_stalls_after_reconnect")
    yield stack
    stack.run("down")


def test_a_worker_that_reconnects_and_consumes_nothing_is_named(
    stalling: Stack, tmp_path: Path
) -> None:
    chaos = Chaos(stack=stalling, folder=tmp_path)
    ended = chaos.run("redis-refused.yaml", outage_s=2, recovery_s=4)
    assert ended.exit_code == 1
    stalled = ended.measured("stalled_consumer_count", "recovery")
    assert stalled["band"] == "critical"
    assert stalled["evidence"]["stalled"] == "worker-0, worker-1"
    assert "worker-0, worker-1" in " ".join(ended.said.split())


def test_a_toxic_in_stages_is_one_fault_that_changes(chaos: Chaos) -> None:
    experiment = chaos.experiment("redis-slow.yaml")
    experiment["method"][0]["provider"] = {
        "type": "python",
        "module": "actions.toxiproxy",
        "func": "toxic_in_stages",
        "arguments": {
            "dependency": "redis",
            "type": "latency",
            "stages": [
                {"duration_s": 1, "attributes": {"latency": 100}},
                {"duration_s": 1, "attributes": {"latency": 20}, "toxicity": 0.5},
                {"duration_s": 1, "attributes": {"latency": 60}},
            ],
        },
    }
    ended = chaos.run(experiment)
    assert ended.exit_code == 0, ended.said
    (fault,) = ended.verdict["faults"]
    assert (fault["kind"], fault["verified"]) == ("latency", True)
    lines = (ended.directory / "timeline.jsonl").read_text().splitlines()
    changes = [event for event in map(json.loads, lines) if event["event"] == "fault changed"]
    assert [event["latency"] for event in changes] == [20, 60]


def test_a_proxy_that_is_not_there(chaos: Chaos) -> None:
    target = chaos.target
    target["redis"]["proxy"] = "rediss"
    target["blast_radius"]["proxies"].append("rediss")
    ended = chaos.run("redis-refused.yaml", target=target)
    assert ended.exit_code == 1
    assert "rediss" in " ".join(ended.verdict["reasons"])
    assert ended.verdict["faults"] == []


def test_a_queue_key_of_the_wrong_type_ends_the_run_before_it_begins(chaos: Chaos) -> None:
    target = chaos.target
    target["redis"]["queue"] = {"key": "orders:queue", "kind": "list"}
    ended = chaos.run("redis-refused.yaml", target=target)
    assert ended.exit_code == 1
    assert "holds a stream, not a list" in " ".join(ended.verdict["reasons"])
    assert ended.verdict["phases"] == []


def test_a_redis_that_asks_for_tls_or_a_password_the_file_does_not_have(chaos: Chaos) -> None:
    target = chaos.target
    target["redis"]["tls"] = True
    assert "redis.tls" in chaos.run("redis-refused.yaml", target=target).said
    target = chaos.target
    del target["redis"]["password_env"]
    assert "redis.password_env" in chaos.run("redis-refused.yaml", target=target).said


def test_a_cluster_that_redirects_past_the_proxy(chaos: Chaos, tmp_path: Path) -> None:
    with redis_server(tmp_path, "--cluster-enabled", "yes", "--save", "") as client:
        own_all_slots(client)
        client.xgroup_create("orders:queue", "workers", mkstream=True)
        target = chaos.target
        # As if its proxy led to the cluster: Toxiproxy calls the server by another name.
        upstream = f"127.0.0.1:{chaos.stack.ports.redis}"
        target["redis"] |= {"port": _port(client), "upstream": upstream}
        del target["redis"]["password_env"]
        ended = chaos.run("redis-refused.yaml", target=target)
    assert ended.exit_code == 1
    assert "past the proxy" in " ".join(ended.verdict["reasons"]), ended.said
    assert ended.verdict["faults"] == []


def _port(client: redis.Redis) -> int:
    port: int = client.connection_pool.connection_kwargs["port"]
    return port
