"""
How an experiment ended, from Chaos Toolkit's own account of it.

A pure function of the journal, which is plain data, and of what was judged. Whatever the journal
calls a failure or a deviation stands in its result by name.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perfchaos.verdict import Judgement, Status

type Data = Mapping[str, Any]

INTERRUPTED = "the experiment was interrupted"

THRESHOLDS = "probes.band"
"""The module of the tolerances that leave a judgement; every other one only says yes or no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """
    How an experiment ended.

    `deviated` are the deviations that a tolerance has proven and no judgement tells of.
    """

    status: Status
    reasons: tuple[str, ...] = ()
    deviated: tuple[str, ...] = ()


def account_of(journal: Data, judgements: Collection[Judgement]) -> Account:
    """The account in `journal`; `judgements` are all that thresholds have left."""
    failed = [*_failures(journal["run"]), *_failures(_probes(journal))]
    not_rolled_back = _failures(journal["rollbacks"])
    deviations = list(_deviations(journal, judgements))
    proven = tuple(sentence for sentence, ours in deviations if not ours)
    said = [sentence for sentence, _ in deviations]
    before = journal["steady_states"]["before"]
    if failed:
        status, reasons = Status.FAILED, [*failed, *not_rolled_back, *said]
    elif before is not None and not before["steady_state_met"]:
        status, reasons = Status.FAILED, [_not_met(before), *not_rolled_back]
    elif journal["status"] in ("interrupted", "aborted", "failed"):
        status, reasons = Status.ABORTED, [INTERRUPTED, *not_rolled_back, *said]
    elif not_rolled_back:
        status, reasons = Status.FAILED, [*not_rolled_back, *said]
    else:
        status, reasons = Status.COMPLETED, said
        if journal["deviated"] and _all_well(judgements) and not said:
            reasons = ["Chaos Toolkit called the steady state deviated, and named no probe"]
    return Account(status=status, reasons=tuple(dict.fromkeys(reasons)), deviated=proven)


def _deviations(journal: Data, judgements: Collection[Judgement]) -> Iterator[tuple[str, bool]]:
    """Each deviation in a sentence, and whether it is a threshold's of ours."""
    states = journal["steady_states"]
    told = {one.probe for one in judgements if not one.band.passes}
    asked = [("during the method", state) for state in states.get("during") or ()]
    asked.append(("after the method", states["after"]))
    for when, state in asked:
        for run in state["probes"] if state else ():
            name, ours = run["activity"]["name"], _is_threshold(run["activity"].get("tolerance"))
            if run.get("status") == "failed" or run.get("tolerance_met", True):
                continue
            if not (ours and name in told):
                yield f"the probe '{name}' deviated {when}{_why(run, ours=ours)}", ours


def _is_threshold(tolerance: object) -> bool:
    provider = tolerance.get("provider") if isinstance(tolerance, Mapping) else None
    return isinstance(provider, Mapping) and provider.get("module") == THRESHOLDS


def _why(run: Data, *, ours: bool) -> str:
    if not ours:
        return ""
    return ": it measured nothing" if not run.get("output") else ""


def _all_well(judgements: Collection[Judgement]) -> bool:
    return all(judgement.band.passes for judgement in judgements)


def _not_met(before: Data) -> str:
    """Which probe deviated first; the verdict's measurements tell of the others."""
    named = [p["activity"]["name"] for p in before["probes"] if not p.get("tolerance_met", True)]
    first = f" (first: '{named[0]}')" if named else ""
    return f"the steady state was not met before anything was harmed{first}"


def _failures(runs: Sequence[Data]) -> list[str]:
    return [
        f"the {run['activity']['type']} '{run['activity']['name']}' failed: {_last_line(run)}"
        for run in runs
        if run.get("status") == "failed"  # One that was interrupted may have none.
    ]


def _probes(journal: Data) -> list[Data]:
    """What the hypothesis ran, at any time."""
    states = journal["steady_states"]
    asked = (states["before"], *(states.get("during") or ()), states["after"])
    return [probe for state in asked if state for probe in state["probes"]]


def _last_line(run: Data) -> str:
    """The exception's own words, at the end of its traceback."""
    lines = [line for line in run.get("exception", []) if line.strip()]
    return lines[-1].strip().partition(": ")[2] or lines[-1].strip() if lines else "it did not end"
