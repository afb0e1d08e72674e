"""What a run has, without a run."""

from pathlib import Path

import pytest

from perfchaos.processes import Process
from perfchaos.safety import LeaseFile, RunRecord, SafetyNet
from perfchaos.timeline import Timeline
from tests.lab import BLAST_RADIUS


@pytest.fixture
def net(tmp_path: Path, state: Path) -> SafetyNet:
    """The safety net of a run of this process, without a watchdog."""
    del state  # Only that it is set.
    run_directory = tmp_path / "run-1"
    run_directory.mkdir()
    leases = LeaseFile.create(
        RunRecord(
            run_id="run-1",
            process=Process.current(),
            run_directory=run_directory,
            target="lab",
        )
    )
    return SafetyNet(
        run_id="run-1",
        leases=leases,
        timeline=Timeline(run_directory / "timeline.jsonl"),
        blast_radius=BLAST_RADIUS,
    )
