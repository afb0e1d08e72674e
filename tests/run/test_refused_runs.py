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
