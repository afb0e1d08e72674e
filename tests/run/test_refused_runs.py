"""A run that cannot be as it was meant is refused before anything starts, with every mistake."""

from pathlib import Path

from tests.run.conftest import Chaos


def test_a_misspelt_argument_of_the_control(chaos: Chaos) -> None:
    experiment = chaos.experiment("redis-timeout.yaml")
    arguments = experiment["controls"][0]["provider"]["arguments"]
    arguments["workload"]["warmup_s"] = 1
    arguments["gard"] = []
    ended = chaos.run(experiment)
    assert ended.exit_code == 1
    assert "warmup_s" in ended.said or "gard" in ended.said


def test_a_missing_target_file(chaos: Chaos, tmp_path: Path) -> None:
    ended = chaos.run("redis-timeout.yaml", target=tmp_path / "nowhere.yaml")
    assert ended.exit_code == 1
    assert "nowhere.yaml" in ended.said
    assert "Traceback" not in ended.said


def test_a_malformed_target_file_is_told_all_its_mistakes(chaos: Chaos) -> None:
    target = chaos.target
    del target["name"]
    target["redis"]["port"] = "six"
    target["webhook"]["acknowledge"] = [200]
    ended = chaos.run("redis-timeout.yaml", target=target)
    assert ended.exit_code == 1
    for mistake in ("'name' is a required property", "redis.port", "acknowledge"):
        assert mistake in ended.said
    assert "Traceback" not in ended.said


def test_a_target_outside_its_own_blast_radius(chaos: Chaos) -> None:
    target = chaos.target
    target["blast_radius"]["addresses"] = ["10.9.8.7"]
    ended = chaos.run("redis-timeout.yaml", target=target)
    assert ended.exit_code == 1
    assert "blast_radius.addresses" in ended.said
    assert ended.verdict == {}


def test_all_that_would_go_wrong_is_told_before_the_load_starts(chaos: Chaos) -> None:
    experiment = chaos.experiment("redis-crash.yaml")
    probes = experiment["steady-state-hypothesis"]["probes"]
    probes[0]["tolerance"]["provider"]["arguments"] |= {"good": 0.5, "warn": 0.1}
    probes[1]["provider"]["arguments"] = {"phases": []}
    probes[2]["provider"]["arguments"] = {"phases": ["outrage"]}
    guard = [{"stop_when": "error_ratio", "above": 0.9, "window_s": 0.1}]
    experiment["controls"][0]["provider"]["arguments"]["guard"] = guard
    target = chaos.target
    target["redis"]["control"] = "process:/nowhere/redis.pid"
    target["redis"]["start"] = ["/bin/true"]
    ended = chaos.run(experiment, target=target)
    assert ended.exit_code == 1
    assert (ended.verdict["status"], ended.verdict["phases"]) == ("failed", [])
    (reason,) = ended.verdict["reasons"]
    for mistake in (
        "must go from strict to lenient",
        "nothing would be measured",
        "'outrage' is none of",
        "can never stop the run",
        "/nowhere/redis.pid",
    ):
        assert mistake in reason
    assert not (ended.directory / "recording").exists()


def test_a_variable_of_the_wrong_type_is_told_before_the_load_starts(chaos: Chaos) -> None:
    experiment = chaos.experiment("redis-timeout.yaml")
    experiment["configuration"]["outage_s"] = "long"
    ended = chaos.run(experiment, outage_s="three")  # type: ignore[arg-type]
    assert ended.exit_code == 1
    assert (ended.verdict["status"], ended.verdict["phases"]) == ("failed", [])
    assert "Traceback" not in ended.said
