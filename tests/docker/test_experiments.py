"""Experiments as they ship, unchanged, on the reference system in containers."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perfchaos.stack.docker import project_of
from tests.docker.test_compose_stack import containers
from tests.run.conftest import Chaos, Ended, running_for
from tests.stack.conftest import Stack
from tests.waiting import eventually

# The recovery is asked of the baseline too, and takes five seconds to be called sustained.
SHORT: dict[str, Any] = {"baseline_s": 6, "recovery_s": 20}


@pytest.fixture
def chaos(standing: Stack, tmp_path: Path) -> Iterator[Chaos]:
    """Runs against the stack in containers; none leaves anything harmed or running."""
    runner = Chaos(stack=standing, folder=tmp_path)
    yield runner
    assert runner.leases() == []
    assert running_for(tmp_path) == []
    assert standing.run("status")[0] == 0


def faults_of(ended: Ended) -> list[tuple[str, bool]]:
    return [(fault["kind"], fault["verified"]) for fault in ended.verdict["faults"]]


def test_redis_is_killed_and_started_with_its_data_and_emptied(chaos: Chaos) -> None:
    ended = chaos.run("redis-crash.yaml", outage_s=2, between_s=2, recovery_s=6)
    assert ended.exit_code == 0, ended.said
    assert faults_of(ended) == [("refused", True), ("crash", True)] * 2
    assert ended.verdict["ledger"]["lost"] == 0


def test_a_killed_postgres_recovers_and_loses_nothing_acknowledged(chaos: Chaos) -> None:
    ended = chaos.run("postgres-crash.yaml", **SHORT)
    assert ended.exit_code == 0, ended.said
    assert faults_of(ended) == [("crash", True)]
    # From the kill to the first write, what of it is Postgres's own, and to being as before.
    first_write = ended.measured("first_write_s", "recovery")["value"]
    server = ended.measured("server_time_s", "recovery")
    recovery = ended.measured("recovery_time_s", "recovery")["value"]
    assert 0 < first_write <= recovery
    # Seen by looks of our own, so it may be told that much later than the clients lived it.
    assert 0 < server["value"] <= recovery + server["evidence"]["resolution_s"]
    assert ended.verdict["ledger"]["lost"] == 0


@pytest.mark.parametrize(
    ("name", "variables"), [("redis-timeout", {}), ("postgres-restart", SHORT)]
)
def test_an_experiment_passes(name: str, variables: dict[str, Any], chaos: Chaos) -> None:
    ended = chaos.run(f"{name}.yaml", **variables)
    assert ended.exit_code == 0, ended.said
    assert ended.verdict["faults"]
    assert all(verified for _, verified in faults_of(ended))


# ---- runs that are killed


@pytest.mark.parametrize(
    ("service", "func", "status"),
    [("postgres", "kill", "exited"), ("redis", "stop", "exited"), ("redis", "pause", "paused")],
)
def test_a_run_that_is_killed_leaves_no_container_harmed(
    service: str, func: str, status: str, client: Any, chaos: Chaos
) -> None:
    container = containers(client, chaos.stack)[service]
    with chaos.start(doing(chaos, func, service, duration_s=40)) as run:
        await_status(container, status)
        run.kill()
        run.communicate()
    await_status(container, "running")
    eventually(lambda: not chaos.leases())
    eventually(lambda: chaos.stack.run("status")[0] == 0)
    verdict = json.loads((chaos.folder / "runs" / "latest" / "verdict.json").read_text())
    assert verdict["status"] == "aborted"


# ---- what cannot be done is said, and nothing is harmed


def test_a_run_without_an_engine(client: Any, chaos: Chaos) -> None:
    nowhere = f"unix://{chaos.folder}/none.sock"
    without = replace(chaos.stack, environment={**chaos.stack.environment, "DOCKER_HOST": nowhere})
    refused(replace(chaos, stack=without), f"there is no container engine at {nowhere}")


def test_a_container_that_is_not_there(chaos: Chaos) -> None:
    refused(chaos, "there is no container of compose:", func="pause", service="none")


def test_a_container_outside_the_blast_radius(chaos: Chaos) -> None:
    target = chaos.target
    target["blast_radius"]["containers"] = [
        one for one in target["blast_radius"]["containers"] if not one["name"].endswith("-worker")
    ]
    refused(chaos, "not in blast_radius.containers", func="pause", service="worker", target=target)


def test_a_container_without_the_label_of_the_blast_radius(chaos: Chaos) -> None:
    target = chaos.target
    for one in target["blast_radius"]["containers"]:
        one["label"] = "somebody=else"
    refused(chaos, "has no label", func="pause", service="worker", target=target)


def refused(
    chaos: Chaos,
    why: str,
    *,
    func: str = "kill",
    service: str = "postgres",
    target: Mapping[str, Any] | None = None,
) -> None:
    """Asserts that a run ends with exit code 1, says why, and has harmed nothing."""
    ended = chaos.run(doing(chaos, func, service, duration_s=2), target=target)
    assert ended.exit_code == 1
    assert why in " ".join(ended.said.split()), ended.said
    assert ended.verdict.get("faults", []) == []


def doing(chaos: Chaos, func: str, service: str, **arguments: float) -> dict[str, Any]:
    """An experiment of one action on a container of the stack."""
    experiment = chaos.experiment("redis-refused.yaml")
    handle = f"compose:{project_of(chaos.stack.home)}/{service}"
    experiment["method"] = [
        {
            "name": f"{func} {service}",
            "type": "action",
            "provider": {
                "type": "python",
                "module": "actions.docker",
                "func": func,
                "arguments": {"container": handle, **arguments},
            },
        }
    ]
    return experiment


def await_status(container: Any, wanted: str) -> None:
    def holds() -> bool:
        container.reload()
        return bool(container.status == wanted)

    eventually(holds)
