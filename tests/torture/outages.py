"""
The experiments on one dependency, against sound, untuned and broken reference systems.

    python -m tests.torture.outages redis healthy --runs 20     no run may end red
    python -m tests.torture.outages postgres mutants            every planted defect must be found
    python -m tests.torture.outages postgres untuned --runs 10  every run must end red

A mutant must go red by the measurement that was made for it, not merely somehow, and an untuned
system by what was measured of it, not because it was unwell before anything was harmed. Each brings
a stack of its own up and takes it down; set PERFCHAOS_PORT_OFFSET where another one runs.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import yaml

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
COMMANDS = Path(sys.executable).parent
_RED = ("unknown", "critical")
_WELL_WITHIN_S = 120.0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What there is to ask of one dependency; `short` shortens what is not timed."""

    questions: tuple[Question, ...]
    mutants: tuple[Mutant, ...]
    short: Mapping[str, int]


_REFUSED = Question(name="redis-refused")
_CRASH = Question(name="postgres-crash")

TRIALS = MappingProxyType(
    {
        "redis": Trial(
            questions=(
                _REFUSED,
                Question(name="redis-timeout", variables={"commands": "applied"}),
                Question(name="redis-timeout", variables={"commands": "not_applied"}),
                *(Question(name=f"redis-{mode}") for mode in ("slow", "flaky")),
                *(Question(name=f"redis-{mode}") for mode in ("crash", "recovery")),
            ),
            mutants=(
                Mutant(
                    defect="no_fallback",
                    question=_REFUSED,
                    measurement="goodput_ratio",
                    phase="outage",
                ),
                Mutant(
                    defect="fallback_acks_before_storing",
                    question=_REFUSED,
                    measurement="lost_count",
                    phase=None,
                ),
                Mutant(
                    defect="fallback_replays_twice",
                    question=_REFUSED,
                    measurement="duplicated_count",
                    phase=None,
                ),
                Mutant(
                    defect="worker_stalls_after_reconnect",
                    question=_REFUSED,
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
                    question=_REFUSED,
                    measurement="queue_use_ratio",
                    phase="recovery",
                ),
            ),
            short={
                "warm_up_s": 1,
                "baseline_s": 5,
                "outage_s": 6,
                "recovery_s": 8,
                "settled_s": 3,
                "samples_min": 100,
            },
        ),
        "postgres": Trial(
            questions=tuple(
                Question(name=f"postgres-{mode}")
                for mode in (
                    *("restart", "crash", "refused", "hang"),
                    *("slow", "readonly", "connections"),
                )
            ),
            mutants=(
                Mutant(
                    defect="ack_before_commit",
                    question=_CRASH,
                    measurement="lost_count",
                    phase=None,
                ),
                # What a crash loses is what came since the server last wrote its log, a fifth of
                # a second at most: the more that is, the surer it is found.
                Mutant(
                    defect="synchronous_commit_off",
                    question=Question(name="postgres-crash", variables={"rate_per_s": 300}),
                    measurement="lost_count",
                    phase=None,
                ),
                Mutant(
                    defect="pool_keeps_dead_connections",
                    question=_CRASH,
                    measurement="recovery_time_s",
                    phase="recovery",
                ),
                Mutant(
                    defect="cold_pool",
                    question=Question(name="postgres-restart"),
                    measurement="application_time_s",
                    phase="recovery",
                ),
                Mutant(
                    defect="healthy_while_writes_fail",
                    question=Question(name="postgres-readonly"),
                    measurement="healthy_while_failing_s",
                    phase="recovery",
                ),
            ),
            # A recovery is watched until it has come, and the baseline for as long as it takes to
            # call it one.
            short={"outage_s": 8},
        ),
    }
)


def main() -> int:
    """Run what was asked for; 0 if everything ended as it must."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("dependency", choices=tuple(TRIALS))
    parser.add_argument("trial", choices=("healthy", "mutants", "untuned"))
    parser.add_argument("--runs", type=int, default=20, help="how many runs that are no mutants'")
    parser.add_argument("--short", action="store_true", help="shorter phases than the default")
    parser.add_argument("--only", help="only this experiment, or the mutant of this defect")
    arguments = parser.parse_args()
    trial = TRIALS[arguments.dependency]
    variables = trial.short if arguments.short or arguments.trial == "mutants" else {}
    questions = [one for one in trial.questions if arguments.only in (None, one.name)]
    with tempfile.TemporaryDirectory(prefix="perfchaos-torture-") as name:
        folder = Path(name)
        os.environ["PERFCHAOS_STATE_DIR"] = str(folder / "state")
        asked = itertools.islice(itertools.cycle(questions), arguments.runs)
        match arguments.trial:
            case "healthy":
                return _try_profile("tuned", folder, list(asked), variables)
            case "untuned":
                return _try_profile("untuned", folder, list(asked), variables)
            case _:
                mutants = [one for one in trial.mutants if arguments.only in (None, one.defect)]
                return _try_mutants(folder, mutants, variables)


def _try_profile(
    profile: str, folder: Path, questions: list[Question], variables: Mapping[str, str | int]
) -> int:
    """Every run on the tuned profile must end green, every one on the untuned red."""
    wrong = 0
    with _stack(profile):
        for number, question in enumerate(questions, start=1):
            _await_well(folder)
            verdict = _run(question, folder / str(number), variables)
            red = [one for one in verdict["measurements"] if one["band"] in _RED]
            judged = verdict["status"] == "completed" and bool(red)
            ok = verdict["exit_code"] == 0 if profile == "tuned" else judged
            wrong += not ok
            sign = "  " if ok else "!!"
            _say(f"{sign} {number:3} {question!s:40} {verdict['status']} {verdict['band']}")
            for line in (*verdict["reasons"], *(_told(one) for one in red)):
                _say(f"          {line}")
    _say(f"{len(questions)} {profile} runs, {wrong} did not end as they must")
    return int(wrong > 0)


def _try_mutants(folder: Path, mutants: list[Mutant], variables: Mapping[str, str | int]) -> int:
    survivors = 0
    for mutant in mutants:
        with _stack("tuned", DEFECTS=mutant.defect):
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
        told = _told(found) if found else f"{mutant.measurement} was not measured"
        _say(f"{'found ' if caught else 'MISSED'} {mutant.defect:30} by {told}")
        for reason in verdict["reasons"]:
            _say(f"       {reason}")
    _say(f"{len(mutants)} defects, {survivors} were missed")
    return int(survivors > 0)


def _told(measurement: Mapping[str, Any]) -> str:
    return (
        f"{measurement['name']} {measurement['phase'] or ''} = {measurement['value']} "
        f"({measurement['band']}): {(measurement['advice'] or [''])[0]}"
    )


@contextmanager
def _stack(profile: str, **tunings: str) -> Iterator[None]:
    up = subprocess.run(
        [COMMANDS / "perfchaos", "up", "--profile", profile],
        env={**os.environ, "DEFECTS": "", **tunings},
        capture_output=True,
        text=True,
        check=False,
    )
    if up.returncode:
        sys.exit(up.stdout + up.stderr)
    try:
        yield
    finally:
        subprocess.run([COMMANDS / "perfchaos", "down"], capture_output=True, check=False)


def _await_well(folder: Path) -> None:
    """Wait until the system has recovered from the run before: what is slow is slow in that too."""
    target = yaml.safe_load((folder / "state" / "stack" / "target.yaml").read_text())
    deadline_s = time.monotonic() + _WELL_WITHIN_S
    while not httpx.get(target["health"]["url"], trust_env=False).is_success:
        if time.monotonic() > deadline_s:
            sys.exit("the system did not get well again")
        time.sleep(0.2)


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
