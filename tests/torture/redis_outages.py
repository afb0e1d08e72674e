"""
The Redis experiments, against healthy and against broken reference systems.

    python -m tests.torture.redis_outages healthy --runs 20    no run may end red
    python -m tests.torture.redis_outages mutants              every planted defect must be found

Each mutant must go red by the measurement that was made for it, not merely somehow. Both bring a
stack of their own up and take it down; set PERFCHAOS_PORT_OFFSET where another one runs.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
COMMANDS = Path(sys.executable).parent
SHORT = {"warm_up_s": 1, "baseline_s": 5, "outage_s": 6, "recovery_s": 8, "settled_s": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One experiment with its variables."""

    name: str
    variables: Mapping[str, str | int] = field(default_factory=dict)

    def __str__(self) -> str:
        chosen = ", ".join(f"{key}={value}" for key, value in self.variables.items())
        return f"{self.name} ({chosen})" if chosen else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A defect, the experiment that must find it, and the measurement by which."""

    defect: str
    question: Question
    measurement: str
    phase: str | None


REFUSED = Question(name="redis-refused")
ALL = (
    REFUSED,
    Question(name="redis-timeout", variables={"commands": "applied"}),
    Question(name="redis-timeout", variables={"commands": "not_applied"}),
    Question(name="redis-slow"),
    Question(name="redis-flaky"),
    Question(name="redis-crash"),
    Question(name="redis-recovery"),
)
MUTANTS = (
    Mutant(
        defect="no_fallback",
        question=REFUSED,
        measurement="goodput_ratio",
        phase="outage",
    ),
    Mutant(
        defect="fallback_acks_before_storing",
        question=REFUSED,
        measurement="lost_count",
        phase=None,
    ),
    Mutant(
        defect="fallback_replays_twice",
        question=REFUSED,
        measurement="duplicated_count",
        phase=None,
    ),
    Mutant(
        defect="worker_stalls_after_reconnect",
        question=REFUSED,
        measurement="stalled_consumer_count",
        phase="recovery",
    ),
    Mutant(
        defect="redis_without_timeout",
        question=Question(name="redis-timeout", variables={"outage_s": 12}),
        measurement="time_to_fallback_s",
        phase="outage",
    ),
    Mutant(
        defect="breaker_never_closes",
        question=REFUSED,
        measurement="queue_use_ratio",
        phase="recovery",
    ),
)


def main() -> int:
    """Run what was asked for; 0 if everything ended as it must."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("trial", choices=("healthy", "mutants"))
    parser.add_argument("--runs", type=int, default=20, help="how many healthy runs")
    parser.add_argument("--short", action="store_true", help="shorter phases than the default")
    parser.add_argument("--only", help="only the mutant of this defect")
    arguments = parser.parse_args()
    variables = SHORT if arguments.short or arguments.trial == "mutants" else {}
    with tempfile.TemporaryDirectory(prefix="perfchaos-torture-") as folder:
        os.environ["PERFCHAOS_STATE_DIR"] = str(Path(folder) / "state")
        if arguments.trial == "healthy":
            return _try_healthy(Path(folder), arguments.runs, variables)
        return _try_mutants(Path(folder), variables, only=arguments.only)


def _try_healthy(folder: Path, runs: int, variables: Mapping[str, str | int]) -> int:
    alarms = 0
    with _stack():
        for number, question in enumerate(itertools.islice(itertools.cycle(ALL), runs), start=1):
            verdict = _run(question, folder / str(number), variables)
            red = [
                f"{one['name']} {one['phase'] or ''} {one['value']} {one['band']}"
                for one in verdict["measurements"]
                if one["band"] in ("unknown", "critical")
            ]
            alarms += verdict["exit_code"] != 0
            _say(f"{number:3} {question!s:40} {verdict['status']} {verdict['band']}")
            for line in (*verdict["reasons"], *red):
                _say(f"      {line}")
    _say(f"{runs} healthy runs, {alarms} false alarms")
    return int(alarms > 0)


def _try_mutants(folder: Path, variables: Mapping[str, str | int], *, only: str | None) -> int:
    survivors = 0
    for mutant in MUTANTS:
        if only not in (None, mutant.defect):
            continue
        with _stack(DEFECTS=mutant.defect):
            verdict = _run(mutant.question, folder / mutant.defect, variables)
        found = next(
            (
                one
                for one in verdict["measurements"]
                if (one["name"], one["phase"]) == (mutant.measurement, mutant.phase)
            ),
            None,
        )
        caught = found is not None and found["band"] == "critical" and verdict["exit_code"] == 1
        survivors += not caught
        _say(f"{'found ' if caught else 'MISSED'} {mutant.defect:30} {_told(mutant, found)}")
        for reason in verdict["reasons"]:
            _say(f"       {reason}")
    _say(f"{survivors} defects were missed")
    return int(survivors > 0)


def _told(mutant: Mutant, found: Mapping[str, Any] | None) -> str:
    if found is None:
        return f"by {mutant.measurement}: not measured"
    return (
        f"by {found['name']} {found['phase'] or ''} = {found['value']} ({found['band']}): "
        f"{(found['advice'] or [''])[0]}"
    )


@contextmanager
def _stack(**tunings: str) -> Iterator[None]:
    environment = {**os.environ, **tunings}
    up = subprocess.run(
        [COMMANDS / "perfchaos", "up"], env=environment, capture_output=True, text=True, check=False
    )
    if up.returncode:
        sys.exit(up.stdout + up.stderr)
    try:
        yield
    finally:
        subprocess.run([COMMANDS / "perfchaos", "down"], capture_output=True, check=False)


def _run(question: Question, folder: Path, variables: Mapping[str, str | int]) -> dict[str, Any]:
    """The verdict of one `chaos run` in `folder`."""
    folder.mkdir(parents=True)
    chosen = {**variables, **question.variables}
    ended = subprocess.run(
        [
            *(COMMANDS / "chaos", "--no-version-check", "--no-log-file", "run"),
            *(EXPERIMENTS / f"{question.name}.yaml",),
            *(f"--var={name}:{_kind(value)}={value}" for name, value in chosen.items()),
        ],
        cwd=folder,
        env={**os.environ, "PERFCHAOS_RUNS_DIR": str(folder / "runs")},
        capture_output=True,
        text=True,
        check=False,
    )
    path = folder / "runs" / "latest" / "verdict.json"
    if not path.exists():
        sys.exit(ended.stdout + ended.stderr)
    verdict: dict[str, Any] = json.loads(path.read_text())
    return verdict


def _kind(value: str | int) -> str:
    return "int" if isinstance(value, int) else "str"


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
