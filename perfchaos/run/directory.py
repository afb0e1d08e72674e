"""What a run leaves behind, and where."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from perfchaos.errors import PerfchaosError


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDirectory:
    """The folder of one run; its name is the run's id."""

    path: Path

    @property
    def run_id(self) -> str:
        """The run's id, unique on this machine and sortable by time."""
        return self.path.name

    @property
    def verdict(self) -> Path:
        """The verdict, for machines."""
        return self.path / "verdict.json"

    @property
    def report(self) -> Path:
        """The report, for people."""
        return self.path / "report.html"

    @property
    def seconds(self) -> Path:
        """What became of the requests of every second, for other programs."""
        return self.path / "seconds.csv"

    @property
    def timeline(self) -> Path:
        """What was done and when."""
        return self.path / "timeline.jsonl"

    @property
    def queue(self) -> Path:
        """How much waited in the queue, and who took from it."""
        return self.path / "queue.jsonl"

    @property
    def rounds(self) -> Path:
        """Every round of a race, one JSON line each."""
        return self.path / "rounds.jsonl"

    @property
    def races(self) -> Path:
        """The rounds that prove a race, with what the database holds of them."""
        return self.path / "races.json"

    @property
    def steps(self) -> Path:
        """What every step of that search sent, a folder each with its plan and its recording."""
        return self.path / "steps"

    @property
    def capacity(self) -> Path:
        """The search for the breaking point: every rate tried, and what came of it."""
        return self.path / "capacity.json"

    @property
    def journal(self) -> Path:
        """Chaos Toolkit's journal as it stood when the verdict was written."""
        return self.path / "journal.json"

    @property
    def log(self) -> Path:
        """What the run said."""
        return self.path / "run.log"


def make_run_directory(runs: Path, *, title: str, started_at: datetime) -> RunDirectory:
    """
    A new folder below `runs` for the experiment called `title`, and `runs/latest` on it.

    Raises:
        PerfchaosError: it cannot be written.

    """
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-") or "run"
    path = runs / f"{started_at:%Y%m%d-%H%M%S}-{words}-{secrets.token_hex(2)}"
    try:
        path.mkdir(mode=0o700, parents=True)
        _point_latest_at(path)
    except OSError as error:
        raise PerfchaosError(
            f"the run's folder {path} cannot be made ({error.strerror})",
            next_step="make the folder writable, or set PERFCHAOS_RUNS_DIR to one that is",
        ) from None
    return RunDirectory(path=path)


def _point_latest_at(path: Path) -> None:
    """Swap the link in one step, so that `latest` is never missing and never half made."""
    beside = path.parent / f".latest-{path.name}"
    beside.symlink_to(path.name)
    beside.replace(path.parent / "latest")
