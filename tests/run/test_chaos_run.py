"""`chaos run` as its users know it: a whole run from a sound system to a verdict."""

import json
from importlib import resources
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.run.conftest import Chaos, Ended
from tests.stack.conftest import Stack


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def ended(tuned: Stack, folder: Path) -> Ended:
    """One run of the experiment that everything began with, looked at from all sides below."""
    return Chaos(stack=tuned, folder=folder).run("redis-timeout.yaml")


def test_the_tuned_reference_survives_a_silent_redis(ended: Ended) -> None:
    assert ended.exit_code == 0, ended.said
    assert ended.verdict["status"] == "completed"
    assert ended.verdict["band"] in ("excellent", "good", "warn")
    assert ended.measured("error_ratio", "outage")["value"] < 0.01
    assert ended.verdict["ledger"]["lost"] == 0
    assert [phase["name"] for phase in ended.verdict["phases"]] == [
        "baseline",
        "outage",
        "recovery",
    ]
    (fault,) = ended.verdict["faults"]
    assert fault["verified"]
    assert fault["healed_at_s"] - fault["injected_at_s"] >= 3


def test_a_verdict_keeps_its_schema_and_counts_every_request(ended: Ended) -> None:
    schema = resources.files("perfchaos.verdict").joinpath("verdict.schema.json").read_text()
    Draft202012Validator(json.loads(schema)).validate(ended.verdict)
    workload = ended.verdict["workload"]
    fates = ("acked_count", "refused_count", "indeterminate_count", "dropped_count")
    assert workload["planned_count"] == sum(workload[fate] for fate in fates)
    assert ended.verdict["ledger"]["acked"] == workload["acked_count"]


def test_a_run_leaves_verdict_report_timeline_recording_journal_and_log(ended: Ended) -> None:
    left = {path.name for path in ended.directory.iterdir()}
    assert {
        "verdict.json",
        "report.html",
        "timeline.jsonl",
        "recording",
        "journal.json",
        "run.log",
        "leases.jsonl",
    } <= left
    assert str(ended.directory.resolve() / "report.html") in ended.said


def test_no_secret_is_in_anything_a_run_leaves(ended: Ended, tuned: Stack, folder: Path) -> None:
    secrets = [
        line.partition("=")[2]
        for line in (tuned.home / "secrets.env").read_text().splitlines()
        if "=" in line and not line.startswith("#")
    ]
    assert secrets
    everything = ended.said.encode() + b"".join(
        path.read_bytes() for path in folder.rglob("*") if path.is_file()
    )
    assert not [secret for secret in secrets if secret.encode() in everything]
