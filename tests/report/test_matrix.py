"""The resilience matrix, from literal verdicts."""

import json
from pathlib import Path
from typing import Any

import pytest

from perfchaos.report.matrix import Effect, matrix, read_verdicts


def verdict(
    *faults: tuple[str, str],
    bands: dict[str, str] | None = None,
    lost: int | None = 0,
    at: str = "2030-01-01T00:00:00",
    experiment: str = "Redis is away",
    **changes: Any,
) -> dict[str, Any]:
    """A completed run with these faults (dependency, kind) and outage bands."""
    return {
        "run_id": f"run at {at}",
        "experiment": experiment,
        "target": "shop",
        "started_at": at,
        "status": "completed",
        "measurements": [
            {"name": name, "phase": "outage", "value": 0.25, "band": band}
            for name, band in (bands or {"error_ratio": "good"}).items()
        ],
        "faults": [
            {"dependency": dependency, "kind": kind, "verified": True}
            for dependency, kind in faults
        ],
        "ledger": {"lost": lost, "waiting": 0},
        **changes,
    }


TIMEOUT = ("redis", "timeout")


@pytest.mark.parametrize(
    ("told", "effect"),
    [
        (verdict(TIMEOUT, bands={"error_ratio": "excellent"}), Effect.AVAILABLE),
        (verdict(TIMEOUT, bands={"error_ratio": "good", "x": "good"}), Effect.AVAILABLE),
        (verdict(TIMEOUT, bands={"error_ratio": "warn"}), Effect.DEGRADED),
        (verdict(TIMEOUT, bands={"error_ratio": "good", "x": "critical"}), Effect.DEGRADED),
        (verdict(TIMEOUT, bands={"error_ratio": "good", "x": "unknown"}), Effect.DEGRADED),
        (verdict(TIMEOUT, bands={"error_ratio": "critical"}), Effect.LOST),
        (verdict(TIMEOUT, lost=1), Effect.LOST),
        (verdict(TIMEOUT, lost=None), Effect.AVAILABLE),
        (verdict(TIMEOUT, status="aborted"), Effect.UNKNOWN),
        (verdict(TIMEOUT, measurements=[]), Effect.UNKNOWN),
        (verdict(TIMEOUT, ledger=None), Effect.AVAILABLE),
        (verdict(TIMEOUT, status="aborted", lost=3), Effect.LOST),
    ],
)
def test_what_became_of_the_target(told: dict[str, Any], effect: Effect) -> None:
    (cell,) = matrix([told])
    assert cell.effect is effect


def test_a_run_that_harmed_nothing_is_no_part_of_it() -> None:
    unseen = {"dependency": "redis", "kind": "timeout", "verified": False}
    assert matrix([verdict(), verdict(faults=[unseen])]) == ()


def test_every_dependency_and_mode_has_a_cell_in_order() -> None:
    cells = matrix(
        [
            verdict(("redis", "timeout"), experiment="a"),
            verdict(("redis", "latency"), experiment="b"),
            verdict(("postgres", "crash"), experiment="c"),
        ]
    )
    assert [(cell.dependency, cell.mode) for cell in cells] == [
        ("postgres", "crash"),
        ("redis", "latency"),
        ("redis", "timeout"),
    ]


def test_faults_of_one_run_at_one_dependency_are_one_mode() -> None:
    away = verdict(("redis", "refused"), ("redis", "crash"), ("redis", "refused"))
    (cell,) = matrix([away])
    assert cell.mode == "refused + crash"


def test_the_newest_run_of_an_experiment_counts() -> None:
    before = verdict(TIMEOUT, bands={"error_ratio": "critical"}, at="2030-01-01")
    after = verdict(TIMEOUT, bands={"error_ratio": "good"}, at="2030-01-02")
    (cell,) = matrix([before, after])
    assert (cell.effect, cell.run_id) == (Effect.AVAILABLE, "run at 2030-01-02")


def test_of_two_experiments_with_the_same_failure_the_worse_counts() -> None:
    worse = verdict(TIMEOUT, bands={"error_ratio": "warn"}, experiment="at night")
    (cell,) = matrix([worse, verdict(TIMEOUT, at="2030-02-01")])
    assert (cell.effect, cell.experiment) == (Effect.DEGRADED, "at night")


def test_verdicts_are_read_oldest_first_and_each_once(tmp_path: Path) -> None:
    for name, at in (("b", "2030-01-01"), ("a", "2030-01-02")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "verdict.json").write_text(json.dumps(verdict(TIMEOUT, at=at)))
    (tmp_path / "latest").symlink_to("a")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "verdict.json").write_text('{"run_id": ')
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "verdict.json").write_text("[]")
    assert [told["started_at"] for told in read_verdicts(tmp_path)] == ["2030-01-01", "2030-01-02"]
