"""
`make torture`: end runs in every way at random moments, and report what they leave.

    python -m tests.torture --kills 100 --each 10
    python -m tests.torture --kills 0 --each 100 --endings guard

`--kills` SIGKILLs of `chaos` over every fault mechanism, and `--each` of every other ending. Exits
1 if anything was left harmed, if a run has no verdict or the wrong one, or if healing took longer
at the 99th percentile than it may: a second after SIGKILL, two after a breach of the guard. The
results go to `torture.json` too.
"""

import argparse
import itertools
import json
import math
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from perfchaos.places import cache_dir
from perfchaos.stack.ports import Ports
from tests.ports import free_ports
from tests.stack.conftest import Stack
from tests.torture.trial import ENDINGS, FAULTS, Moment, Result, Trial

_HEALED_P99_MS = {"SIGKILL": 1000.0, "guard": 2000.0}


def main() -> None:
    """Run the trials and report."""
    parser = argparse.ArgumentParser(prog="torture", description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=30, help="SIGKILLs of chaos")
    parser.add_argument("--each", type=int, default=3, help="trials of every other ending")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--results", type=Path, default=Path("torture.json"))
    parser.add_argument("--endings", nargs="+", choices=ENDINGS, default=list(ENDINGS))
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    plan = ["SIGKILL"] * arguments.kills
    others = [ending for ending in arguments.endings if ending != "SIGKILL"]
    plan += [ending for ending in others for _ in range(arguments.each)]
    print(f"{len(plan)} trials, seed {arguments.seed}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # Through the `finally` below.
    # A background job ignores these, and so would every run that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    with tempfile.TemporaryDirectory(prefix="torture-") as place:
        stack = _stack(Path(place) / "state")
        code, said = stack.run("up", "--profile", "tuned")
        if code != 0:
            raise SystemExit(said)
        try:
            results = _live_through(plan, stack, Path(place), rng)
        finally:
            stack.run("down")
    arguments.results.write_text(json.dumps([asdict(result) for result in results], indent=1))
    sys.exit(_report(results))


def _live_through(
    plan: Sequence[str], stack: Stack, place: Path, rng: random.Random
) -> list[Result]:
    results = []
    faults = itertools.cycle(FAULTS)
    for number, (ending, fault) in enumerate(zip(plan, faults, strict=False)):
        trial = Trial(stack, place / f"trial-{number}", fault, ending)
        result = trial.live_through(Moment.at_random(rng))
        healed = "-" if result.healed_ms is None else f"{result.healed_ms:.0f} ms"
        wrong = "; ".join(result.wrong)
        print(f"{number:4} {ending:16} {fault:26} {healed:>9} {result.verdict} {wrong}", flush=True)
        results.append(result)
    return results


def _report(results: Sequence[Result]) -> int:
    """Print what each ending came to; the exit code."""
    bad = False
    for ending in ENDINGS:
        of_it = [result for result in results if result.ending == ending]
        if not of_it:
            continue
        healed = sorted(r.healed_ms for r in of_it if r.healed_ms is not None)
        p50, p99 = _percentile(healed, 0.5), _percentile(healed, 0.99)
        wrong = sum(bool(result.wrong) for result in of_it)
        verdicts = dict(Counter(str(result.verdict) for result in of_it))
        print(
            f"{ending:16} {len(of_it):4} trials, a fault in at {len(healed):3}: healed p50 "
            f"{p50:.0f} ms, p99 {p99:.0f} ms; {wrong} with something left; verdicts {verdicts}"
        )
        right = {"completed"} if ending == "left alone" else {"aborted", "None"}
        bad |= wrong > 0 or not right.issuperset(verdicts)
        bad |= p99 > _HEALED_P99_MS.get(ending, math.inf)
    return int(bad)


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank; 0 of nothing."""
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else 0.0


def _stack(state_dir: Path) -> Stack:
    names = list(asdict(Ports()))
    ports = Ports(**dict(zip(names, free_ports(len(names)), strict=True)))
    own = {f"PERFCHAOS_{name.upper()}_PORT": str(port) for name, port in asdict(ports).items()}
    places = {"PERFCHAOS_STATE_DIR": str(state_dir), "PERFCHAOS_CACHE_DIR": str(cache_dir())}
    return Stack(state_dir=state_dir, ports=ports, environment={**os.environ, **places, **own})


if __name__ == "__main__":
    main()
