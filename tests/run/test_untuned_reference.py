"""The reference system without its tunings does not hold, and no run calls that anything else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.run.conftest import Chaos, tidy, up
from tests.stack.conftest import Stack


@pytest.fixture
def untuned(tmp_path: Path) -> Iterator[Stack]:
    """The untuned reference system, up; anew for each test, for it does not recover from one."""
    yield from up(tmp_path / "stack", "untuned")


@pytest.fixture
def chaos(untuned: Stack, tmp_path: Path) -> Iterator[Chaos]:
    """Runs against the untuned reference system; none leaves anything behind."""
    folder = tmp_path / "runs"
    folder.mkdir()
    yield from tidy(untuned, folder)


def test_without_redis_it_is_critical(chaos: Chaos) -> None:
    # Slowly: it holds no more than this with all it leans on in order.
    slowly: dict[str, Any] = {"rate_per_s": 15, "baseline_s": 4, "outage_s": 6, "samples_min": 20}
    ended = chaos.run("redis-timeout.yaml", **slowly)
    assert ended.exit_code == 1
    assert ended.verdict["status"] == "completed", ended.said
    assert ended.verdict["band"] == "critical"
    outage = ended.measured("error_ratio", "outage")
    assert outage["value"] > 0.5
    assert outage["advice"][0] == "system unusable"


def test_a_load_that_is_too_much_is_critical(chaos: Chaos) -> None:
    experiment = chaos.experiment("webhook-load.yaml")
    experiment["configuration"] |= {"scenario": "moderate", "duration_ratio": 0.3}
    ended = chaos.run(experiment, samples_min=5)
    assert ended.exit_code == 1
    assert ended.verdict["status"] == "completed", ended.said
    sustained = ended.measured("sustained_per_s", "load")
    assert sustained["lower_bound"] is False
    assert sustained["value"] < 250
    assert ended.measured("latency_p99_ms", "load")["band"] in ("warn", "critical")
    assert ended.verdict["band"] == "critical"
