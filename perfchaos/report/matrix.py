"""
The resilience matrix: what each failure of each dependency did to the target, from its runs.

After the matrix in Shopify Engineering, "Building and Testing Resilient Ruby on Rails Applications"
(2015): for every dependency and every way it fails, the service is
available, degraded or lost. Only what a run has shown is in it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

type Document = Mapping[str, Any]


class Effect(StrEnum):
    """What became of the target, from best to worst."""

    AVAILABLE = "available"
    DEGRADED = "degraded"
    UNKNOWN = "unknown"
    LOST = "lost"

    @property
    def severity(self) -> int:
        """0 for available, rising to 3 for lost."""
        return list(Effect).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One dependency, one way it failed, and the run that showed what came of it."""

    target: str
    dependency: str
    mode: str
    effect: Effect
    error_ratio: float | None
    latency_p99_ms: float | None
    lost: int | None
    waiting: int | None
    experiment: str
    run_id: str

    def as_dict(self) -> dict[str, Any]:
        """The cell as plain data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def read_verdicts(runs: Path) -> list[Document]:
    """The verdicts of all runs below `runs`, oldest first; what is no verdict is left out."""
    found = []
    for path in runs.glob("*/verdict.json"):
        if path.parent.is_symlink():
            continue  # `latest` is one of the others.
        try:
            document = json.loads(path.read_text("utf-8"))
            found.append((document["started_at"], document))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return [document for _, document in sorted(found, key=lambda pair: str(pair[0]))]


def matrix(verdicts: Iterable[Document]) -> tuple[Cell, ...]:
    """
    One cell for each failure of each dependency, by target, dependency and mode.

    Of several runs of an experiment the newest counts; of several experiments that make the same
    thing fail in the same way, the worst.
    """
    newest: dict[tuple[str, str, str, str], Cell] = {}
    for verdict in verdicts:  # Oldest first: each replaces the one before it.
        for cell in _cells(verdict):
            newest[cell.target, cell.dependency, cell.mode, cell.experiment] = cell
    worst: dict[tuple[str, str, str], Cell] = {}
    for cell in newest.values():
        key = (cell.target, cell.dependency, cell.mode)
        if key not in worst or cell.effect.severity > worst[key].effect.severity:
            worst[key] = cell
    return tuple(worst[key] for key in sorted(worst))


def _cells(verdict: Document) -> list[Cell]:
    """One cell for each dependency that the run harmed; none for a run that harmed nothing."""
    modes: dict[str, dict[str, None]] = {}
    for fault in verdict["faults"]:
        if fault["verified"]:
            modes.setdefault(fault["dependency"], {})[fault["kind"]] = None
    ledger = verdict["ledger"]
    return [
        Cell(
            target=verdict["target"],
            dependency=dependency,
            mode=" + ".join(kinds),
            effect=_effect(verdict),
            error_ratio=_in_outage(verdict, "error_ratio"),
            latency_p99_ms=_in_outage(verdict, "latency_p99_ms"),
            lost=ledger["lost"] if ledger else None,
            waiting=ledger.get("waiting") if ledger else None,
            experiment=verdict["experiment"],
            run_id=verdict["run_id"],
        )
        for dependency, kinds in modes.items()
    ]


def _effect(verdict: Document) -> Effect:
    """
    Lost: too much was not acknowledged during the outage, or something acknowledged is gone.

    Degraded: anything else that was not well. Unknown: the run did not come to its end.
    """
    bands = {
        (measurement["name"], measurement["phase"]): measurement["band"]
        for measurement in verdict["measurements"]
    }
    gone = verdict["ledger"] is not None and (verdict["ledger"]["lost"] or 0) > 0
    if bands.get(("error_ratio", "outage")) == "critical" or gone:
        return Effect.LOST
    if verdict["status"] != "completed" or not bands:
        return Effect.UNKNOWN
    well = set(bands.values()) <= {"excellent", "good"}
    return Effect.AVAILABLE if well else Effect.DEGRADED


def _in_outage(verdict: Document, name: str) -> float | None:
    for measurement in verdict["measurements"]:
        if (measurement["name"], measurement["phase"]) == (name, "outage"):
            value: float | None = measurement["value"]
            return value
    return None
