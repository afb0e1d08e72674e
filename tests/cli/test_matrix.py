"""`perfchaos matrix`, as it is typed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from perfchaos.cli import main
from tests.report.test_matrix import verdict


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    told = verdict(("redis", "timeout"), bands={"error_ratio": "warn"})
    (tmp_path / "run" / "verdict.json").write_text(json.dumps(told))
    return tmp_path


def test_it_says_what_each_failure_did(runs: Path) -> None:
    said = CliRunner().invoke(main, ["matrix", str(runs)])
    assert said.exit_code == 0
    assert "degraded" in said.output
    assert "25 %" in said.output


def test_json_is_for_machines(runs: Path) -> None:
    said = CliRunner().invoke(main, ["matrix", "--json", str(runs)])
    (cell,) = json.loads(said.output)
    assert (cell["dependency"], cell["mode"], cell["effect"]) == ("redis", "timeout", "degraded")


def test_without_a_run_that_harmed_anything_it_says_so(tmp_path: Path) -> None:
    said = CliRunner().invoke(main, ["matrix", str(tmp_path)])
    assert said.exit_code == 2
    assert "has harmed anything" in said.output
