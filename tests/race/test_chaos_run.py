"""`chaos run` of the race: green on the sound system, red as soon as one round was raced."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.race.conftest import marketplace
from tests.reference.conftest import Marketplace, Service
from tests.run.conftest import Chaos, Ended
from tests.stack.conftest import Stack

__all__ = ["marketplace"]

SCHEMA = Path(__file__).parent.parent.parent / "perfchaos" / "verdict" / "verdict.schema.json"


@pytest.fixture
def chaos(marketplace: Marketplace, tmp_path: Path) -> Chaos:
    """Runs against whatever service a test has started."""
    state_dir = marketplace.home.parent
    return Chaos(
        stack=Stack(
            state_dir=state_dir,
            ports=marketplace.ports,
            environment={"PERFCHAOS_STATE_DIR": str(state_dir), "PATH": "/usr/bin:/bin"},
        ),
        folder=tmp_path,
    )


def race(chaos: Chaos, service: Service) -> Ended:
    experiment = chaos.experiment("vendor-race.yaml")
    arguments = experiment["controls"][0]["provider"]["arguments"]
    arguments["workload"] = {
        "kind": "vendor_race",
        "contenders": 5,
        "rounds": 60,
        "warm_up_s": 0,
        "baseline_s": 2,
    }
    for probe in experiment["steady-state-hypothesis"]["probes"]:
        limits = probe["tolerance"]["provider"]["arguments"]
        # However slow the machine, some rounds are done in two seconds.
        limits["samples_min"] = 3
        limits["good"] = min(limits["good"], 3)
    text = yaml.safe_dump(chaos.target)
    own = text.replace(f":{chaos.stack.ports.service}/", f":{service.port}/")
    return chaos.run(experiment, target=yaml.safe_load(own))


def test_a_sound_system_is_green_and_bounded(marketplace: Marketplace, chaos: Chaos) -> None:
    with marketplace.service() as service:
        ended = race(chaos, service)
    jsonschema.validate(ended.verdict, json.loads(SCHEMA.read_text()))
    # It is well, and so few rounds do not prove that 99 of 100 are.
    assert (ended.exit_code, ended.verdict["band"]) == (0, "warn"), ended.said
    assert "of the 299 samples that good takes" in ended.measured("race_ratio")["why"]
    told = ended.verdict["race"]
    assert (told["rounds"], told["raced"], told["evidence"]) == (60, 0, [])
    assert told["rate_at_most"] == pytest.approx(1 - 0.05 ** (1 / told["effective"]))
    assert "with 95 % confidence" in " ".join(ended.said.split())
    assert not (ended.directory / "races.json").exists()


def test_a_race_fails_the_run_with_all_its_evidence(marketplace: Marketplace, chaos: Chaos) -> None:
    with marketplace.service(DEFECTS="race_check_then_act") as service:
        ended = race(chaos, service)
    jsonschema.validate(ended.verdict, json.loads(SCHEMA.read_text()))
    assert (ended.exit_code, ended.verdict["band"]) == (1, "critical")
    told = ended.verdict["race"]
    races = json.loads((ended.directory / "races.json").read_text())
    assert told["raced"] == len(races) > 0
    assert told["evidence"] == races[:20]
    assert len(races[0]["holders"]) > 1
    assert {"request", "sent_ns", "done_ns", "code", "said", "reply"} <= set(
        races[0]["contenders"][0]
    )
    assert "partial unique index" in " ".join(ended.said.split())
