"""`chaos run --dry activities`: what would be done to what, and nothing of it done."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from tests.run.conftest import EXPERIMENTS, Chaos


def rehearse(chaos: Chaos, experiment: str, target: dict[str, Any]) -> tuple[int, str]:
    (chaos.folder / "target.yaml").write_text(yaml.safe_dump(target))
    done = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "chaos"), "--no-version-check", "run"),
            *("--dry", "activities", str(EXPERIMENTS / experiment)),
        ],
        cwd=chaos.folder,
        env={
            **chaos.stack.environment,
            "PERFCHAOS_TARGET": str(chaos.folder / "target.yaml"),
            "PERFCHAOS_RUNS_DIR": str(chaos.folder / "runs"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def proxies(chaos: Chaos) -> Any:
    url = f"http://127.0.0.1:{chaos.stack.ports.toxiproxy}/proxies"
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def test_a_rehearsal_names_every_harm_and_its_undo_and_does_none(chaos: Chaos) -> None:
    before = proxies(chaos)
    exit_code, said = rehearse(chaos, "redis-crash.yaml", chaos.target)
    assert exit_code == 0, said
    assert "redis 'refused' by toxiproxy proxy on proxy 'redis'" in said
    assert "redis 'crash' by process ended on service 'redis'" in said
    assert "healed within" in said
    assert proxies(chaos) == before
    assert not (chaos.folder / "runs").exists()


def test_a_rehearsal_of_what_is_not_allowed_fails(chaos: Chaos) -> None:
    target = chaos.target
    target["blast_radius"]["services"] = []
    exit_code, said = rehearse(chaos, "redis-crash.yaml", target)
    assert exit_code == 1
    assert "blast_radius.services" in said


def test_a_rehearsal_does_nothing_of_somebody_elses(chaos: Chaos) -> None:
    done = chaos.folder / "done"
    experiment = chaos.experiment("redis-timeout.yaml")
    provider = {"type": "process", "path": "touch", "arguments": [str(done)]}
    experiment["method"].append({"name": "touch", "type": "action", "provider": provider})
    path = chaos.folder / "with-another.yaml"
    path.write_text(yaml.safe_dump(experiment))
    exit_code, said = rehearse(chaos, str(path), chaos.target)
    assert exit_code == 0, said
    assert not done.exists()
