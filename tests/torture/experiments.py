"""
Every experiment on Redis, on Postgres and on the race, on a tuned reference system: all are green.

    python -m tests.torture.experiments --docker        as they are, in containers
    python -m tests.torture.experiments --docker --short --only redis-crash postgres-crash
    python -m tests.torture.experiments --rounds 5 --only postgres-crash

Brings a stack of its own up and takes it down. Prints a table, writes `experiments.json`, keeps the
run's folder of what went red; exits 1 if anything did. Where no image can be pulled, name those of
`scripts/docker-images.sh`.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.stack.conftest import Stack, new_stack

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
NAMES = tuple(
    sorted(
        path.stem
        for start in ("redis", "postgres", "vendor-race")
        for path in EXPERIMENTS.glob(f"{start}*.yaml")
    )
)
# Each experiment takes those of its own variables.
SHORT = {
    "warm_up_s": 1,
    "baseline_s": 6,
    "outage_s": 6,
    "between_s": 5,
    "pause_s": 2,
    "times": 2,
    "repeats": 2,
    "settled_s": 3,
    "samples_min": 100,
    "scenario": "light",
}
_ENDS_WITHIN_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    What one run came to; `status` and `band` as in its verdict, "none" where it left none.

    `healed_ms` is from the heal to the dependency seen back, the longest of its faults; None where
    none was seen. `red` says what was wrong, in words.
    """

    experiment: str
    status: str
    band: str
    exit_code: int
    took_s: float
    healed_ms: float | None
    lost: int | None
    red: tuple[str, ...]

    @property
    def green(self) -> bool:
        """Whether it ended as it must on a tuned system."""
        return self.exit_code == 0 and self.status == "completed"


def main() -> int:
    """Run what was asked for; 0 if all of it was green."""
    parser = argparse.ArgumentParser(prog="experiments", description=__doc__.split("\n\n")[0])
    parser.add_argument("--docker", action="store_true", help="on the stack in containers")
    parser.add_argument("--short", action="store_true", help="with shorter phases")
    parser.add_argument("--rounds", type=int, default=1, help="how often each is run")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME")
    parser.add_argument("--results", type=Path, default=Path("experiments.json"))
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # Through the `finally` below.
    place = Path(tempfile.mkdtemp(prefix="experiments-"))
    outcomes = []
    with _standing(place, in_containers=arguments.docker) as stack:
        for number in range(arguments.rounds):
            for name in arguments.only:
                folder = place / f"{name}-{number}"
                outcome = _run(stack, name, folder, SHORT if arguments.short else {})
                outcomes.append(outcome)
                _say(outcome, folder)
    arguments.results.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
    print(_table(outcomes))
    if all(outcome.green for outcome in outcomes):
        shutil.rmtree(place)
        return 0
    return 1


@contextmanager
def _standing(place: Path, *, in_containers: bool) -> Iterator[Stack]:
    """A tuned stack of our own."""
    stack = new_stack(place / "state")
    began_s = time.monotonic()
    code, said = stack.run("up", "--profile", "tuned", *(["--docker"] if in_containers else []))
    if code != 0:
        raise SystemExit(said)
    print(f"up in {time.monotonic() - began_s:.1f} s", flush=True)
    try:
        yield stack
    finally:
        began_s = time.monotonic()
        stack.run("down")
        print(f"down in {time.monotonic() - began_s:.1f} s", flush=True)


def _run(stack: Stack, name: str, folder: Path, variables: Mapping[str, object]) -> Outcome:
    folder.mkdir()
    path = EXPERIMENTS / f"{name}.yaml"
    known = path.read_text().partition("\nruntime:")[0]
    chosen = {key: value for key, value in variables.items() if f"\n  {key}: " in known}
    began_s = time.monotonic()
    with (folder / "output").open("w") as output:
        ended = subprocess.run(
            [
                *(str(Path(sys.executable).parent / "chaos"), "--no-version-check"),
                *("--no-log-file", "run", str(path)),
                *(f"--var={k}:{type(v).__name__}={v}" for k, v in chosen.items()),
            ],
            cwd=folder,
            env={**stack.environment, "PERFCHAOS_RUNS_DIR": str(folder / "runs")},
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=_ENDS_WITHIN_S,
        )
    took_s = time.monotonic() - began_s
    verdict_path = folder / "runs" / "latest" / "verdict.json"
    verdict = json.loads(verdict_path.read_text()) if verdict_path.exists() else None
    return _outcome(name, ended.returncode, took_s, verdict)


def _outcome(
    name: str, exit_code: int, took_s: float, verdict: Mapping[str, Any] | None
) -> Outcome:
    if verdict is None:
        return Outcome(
            experiment=name,
            status="none",
            band="none",
            exit_code=exit_code,
            took_s=took_s,
            healed_ms=None,
            lost=None,
            red=("it left no verdict",),
        )
    healed = [fault["normal_after_ms"] for fault in verdict["faults"]]
    seen = [ms for ms in healed if ms is not None]
    red = [
        f"{one['name']} {one['phase'] or ''} = {one['value']} ({one['band']}, {one['evidence']})"
        for one in verdict["measurements"]
        if one["band"] in ("unknown", "critical")
    ]
    return Outcome(
        experiment=name,
        status=verdict["status"],
        band=verdict["band"],
        exit_code=exit_code,
        took_s=took_s,
        healed_ms=max(seen, default=None),
        lost=(verdict["ledger"] or {}).get("lost"),
        red=(*verdict["reasons"], *red),
    )


def _say(outcome: Outcome, folder: Path) -> None:
    print(
        f"{outcome.experiment:40} {outcome.status:10} {outcome.band:10} {outcome.took_s:5.0f} s"
        + ("" if outcome.green else f"  {folder}"),
        flush=True,
    )
    for line in outcome.red:
        print(f"      {line}", flush=True)


def _table(outcomes: Sequence[Outcome]) -> str:
    lines = [
        "| experiment | green | band | took | back after the heal | lost |",
        "|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(outcome.experiment for outcome in outcomes):
        of_it = [outcome for outcome in outcomes if outcome.experiment == name]
        bands = ", ".join(dict.fromkeys(outcome.band for outcome in of_it))
        took_s = max(outcome.took_s for outcome in of_it)
        healed = [outcome.healed_ms for outcome in of_it if outcome.healed_ms is not None]
        lost = [outcome.lost for outcome in of_it if outcome.lost is not None]
        lines.append(
            f"| {name} | {sum(one.green for one in of_it)} of {len(of_it)} | {bands} "
            f"| {took_s:.0f} s | {f'{max(healed):.0f} ms' if healed else '-'} "
            f"| {sum(lost) if lost else '-'} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
