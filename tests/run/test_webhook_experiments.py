"""The webhook experiments as they ship: a load that is kept up with, and one that is not."""

import csv
import json
from typing import Any

from perfchaos.recording import Outcome, Recording
from tests.run.conftest import Chaos

SHORT = {"duration_ratio": 0.1, "samples_min": 5}


def loaded(chaos: Chaos, scenario: str) -> dict[str, Any]:
    experiment = chaos.experiment("webhook-load.yaml")
    experiment["configuration"] |= {**SHORT, "scenario": scenario}
    return experiment


def test_a_load_that_is_kept_up_with_bounds_the_rate_from_below(chaos: Chaos) -> None:
    ended = chaos.run(loaded(chaos, "light"), samples_min=5)
    assert ended.exit_code == 0, ended.said
    sustained = ended.measured("sustained_per_s", "load")
    assert (sustained["band"], sustained["lower_bound"]) == ("good", True)
    assert 45 <= sustained["value"] <= 55
    assert "≥" in ended.said
    phases = [phase["name"] for phase in ended.verdict["phases"]]
    assert phases == ["baseline", "ramp", "load"]
    evidence = ended.measured("latency_p99_ms", "load")["evidence"]
    assert {"p50_ms", "p95_ms", "p99_9_ms", "max_ms"} <= set(evidence)
    assert ended.verdict["ledger"]["lost"] == 0
    with (ended.directory / "seconds.csv").open() as file:
        seconds = list(csv.DictReader(file))
    planned_count = sum(int(second["planned_count"]) for second in seconds)
    assert planned_count == ended.verdict["workload"]["planned_count"]


def test_an_unknown_scenario_is_refused_before_anything_starts(chaos: Chaos) -> None:
    ended = chaos.run(loaded(chaos, "lite"), samples_min=5)
    assert ended.exit_code == 1
    assert "'lite' is none of light, moderate, heavy, stress" in ended.said


def test_a_capacity_beyond_the_search_is_a_lower_bound(chaos: Chaos) -> None:
    experiment = chaos.experiment("webhook-capacity.yaml")
    # Promises and rates that the busiest machine keeps: this is about a search that meets no break.
    experiment["method"][0]["provider"]["arguments"]["promises"] = ["p99<10s", "errors<50%"]
    experiment["configuration"] |= {"start_per_s": 30, "max_per_s": 60, "step_s": 2, "hold_s": 3}
    ended = chaos.run(experiment, rate_per_s=20)
    assert ended.exit_code == 0, ended.said
    capacity = ended.measured("capacity_per_s")
    assert (capacity["lower_bound"], capacity["band"]) == (True, "good")
    steps = json.loads((ended.directory / "capacity.json").read_text())["steps"]
    held = [step["rate_per_s"] for step in steps if not step["breaches"] and not step["unsound"]]
    assert (held[0], held[-1]) == (30, capacity["value"])
    # A step in which the generator itself fell behind proves nothing, and may have lowered it.
    assert capacity["value"] == 60 or any(step["unsound"] for step in steps)


def test_every_acknowledgement_of_the_search_is_followed_up(chaos: Chaos) -> None:
    """On a database that holds what the run's own load sent, and nothing that a step sent."""
    experiment = chaos.experiment("webhook-capacity.yaml")
    experiment["method"][0]["provider"]["arguments"]["promises"] = ["p99<10s", "errors<50%"]
    experiment["configuration"] |= {"start_per_s": 30, "max_per_s": 30, "step_s": 1, "hold_s": 1}
    target = chaos.target
    # The four digits that say which of the run's loads an id is of.
    own_load = "substring(held.id::text from 25 for 4) = '0000'"
    query = target["ledger"]["query"]
    target["ledger"]["query"] = f"SELECT * FROM ({query}) AS held (id, times) WHERE {own_load}"
    ended = chaos.run(experiment, target=target, rate_per_s=20)
    steps_acked = sum(
        len(Recording.open(path).numbers(Outcome.ACKED))
        for path in ended.directory.glob("steps/*/recording")
    )
    assert steps_acked > 30
    assert ended.verdict["ledger"]["lost"] == steps_acked
    assert ended.exit_code == 1


def test_a_capacity_that_was_not_searched_for_fails_the_run(chaos: Chaos) -> None:
    experiment = chaos.experiment("webhook-capacity.yaml")
    experiment["method"] = []
    ended = chaos.run(experiment, rate_per_s=20)
    assert ended.exit_code == 1
    assert ended.verdict["status"] == "failed"
    assert "no breaking point was searched for" in ended.said
