"""
The verdict on one run, and its file `verdict.json`.

The file is the contract for machines; `verdict.schema.json` beside this module is its schema. It
is written once before the run has done anything, as aborted and unknown, and replaced as a whole
when the run ends, so that a reader never sees half a verdict and never a green one by default.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from perfchaos.timeline import Phase, Span
from perfchaos.verdict.advice import advise
from perfchaos.verdict.band import Band, worst
from perfchaos.verdict.measurement import Judgement, NotAsked, counted

SCHEMA_VERSION = 1


class Status(StrEnum):
    """How a run ended; only a completed one can be green."""

    COMPLETED = "completed"
    ABORTED = "aborted"
    FAILED = "failed"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultReport:
    """
    One fault of the run; instants in seconds since the run's start, None where it never was.

    `seen` says what the data plane showed of it (`silent`, `refused`), or `read back` where only
    whoever did it could be asked. `bypassed_by` names sessions of the target that it did not touch.
    """

    kind: str
    dependency: str
    mechanism: str
    injected_at_s: float
    seen: str | None
    in_force_after_ms: float | None
    healed_at_s: float | None
    normal_after_ms: float | None
    bypassed_by: str | None = None

    @property
    def verified(self) -> bool:
        """Whether the harm was seen to be there, and not only asked for."""
        return self.seen is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReport:
    """
    Counts of the ledger, with the first ids of every kind that must not be.

    `in_queue` waits for its effect, and `waiting` is what of it was acknowledged. It speaks of all
    that was sent before the baseline was asked where it is not of the `whole_run`. `missing` is
    what was acknowledged and not found, and it is `lost` unless a `doubt` says why it may wait
    somewhere instead.
    """

    acked: int
    refused: int
    indeterminate: int
    lost: int | None
    duplicated: int
    phantom: int
    recovered: int
    in_queue: int
    waiting: int
    lost_ids: tuple[str, ...]
    duplicated_ids: tuple[str, ...]
    phantom_ids: tuple[str, ...]
    missing: int
    whole_run: bool = True
    doubt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceReport:
    """
    The rounds of a race: how many proved anything, and what they proved.

    `rate_at_least` and `rate_at_most` are what the rate of races reaches and does not exceed, each
    with 95 % confidence; None where `doubt` says why replies and database prove nothing. `neither`
    counts the replies that were neither won nor lost, by status or failure. `evidence` holds the
    first rounds that prove a race, in full.
    """

    rounds: int
    effective: int
    won: int
    raced: int
    rate_at_least: float | None
    rate_at_most: float | None
    neither: Mapping[str, int]
    doubt: str | None
    skew_p50_us: float | None
    skew_p99_us: float | None
    evidence: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """
    Everything a run found out. `reasons` say in sentences why it is not green.

    `deviated` are the deviations from tolerances that leave no judgement, each also a reason.

    What was `not_asked`, because the target does not have it, is no measurement: it neither passes
    nor fails, and a run that was asked nothing else is unknown.
    """

    run_id: str
    experiment: str
    target: str
    started_at: datetime
    ended_at: datetime | None
    status: Status
    reasons: tuple[str, ...]
    judgements: tuple[Judgement, ...]
    spans: tuple[Span, ...]
    started_ns: int
    faults: tuple[FaultReport, ...]
    ledger: LedgerReport | None
    workload: Mapping[str, float | int | str | None]
    race: RaceReport | None = None
    not_asked: tuple[NotAsked, ...] = ()
    deviated: tuple[str, ...] = ()

    @property
    def band(self) -> Band:
        """
        The worst band of all.

        A run that did not complete, or that anything is said against, is at best unknown; one in
        which a tolerance was not met is critical.
        """
        judged = worst(judgement.band for judgement in counted(self.judgements))
        if self.deviated:
            return Band.CRITICAL
        if self.status is Status.COMPLETED and not self.reasons:
            return judged
        return worst((judged, Band.UNKNOWN))

    @property
    def exit_code(self) -> int:
        """0 for a completed run whose band passes and that proved no race, else 1."""
        raced = self.race is not None and self.race.raced > 0
        passed = self.status is Status.COMPLETED and self.band.passes and not raced
        return 0 if passed else 1

    @classmethod
    def unfinished(
        cls, *, run_id: str, experiment: str, target: str, started_at: datetime, started_ns: int
    ) -> "Verdict":
        """The verdict of a run that has not ended, which stands if it never does."""
        return cls(
            run_id=run_id,
            experiment=experiment,
            target=target,
            started_at=started_at,
            started_ns=started_ns,
            ended_at=None,
            status=Status.ABORTED,
            reasons=("the run has not ended",),
            judgements=(),
            spans=(),
            faults=(),
            ledger=None,
            workload={},
        )

    def ended(self, at: datetime, status: Status, *reasons: str) -> "Verdict":
        """This verdict with its end."""
        return replace(self, ended_at=at, status=status, reasons=reasons)


def as_document(verdict: Verdict) -> dict[str, Any]:
    """The verdict in the form of `verdict.schema.json`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": verdict.run_id,
        "experiment": verdict.experiment,
        "target": verdict.target,
        "started_at": verdict.started_at.isoformat(timespec="milliseconds"),
        "ended_at": verdict.ended_at.isoformat(timespec="milliseconds")
        if verdict.ended_at
        else None,
        "status": verdict.status.value,
        "band": verdict.band.value,
        "exit_code": verdict.exit_code,
        "reasons": list(verdict.reasons),
        "deviated": list(verdict.deviated),
        "measurements": [_measurement(judgement, verdict) for judgement in verdict.judgements],
        "not_asked": [{"name": one.name, "why": one.why} for one in verdict.not_asked],
        "phases": [_phase(span, verdict.started_ns) for span in verdict.spans],
        "faults": [_fault(fault) for fault in verdict.faults],
        "ledger": _ledger(verdict.ledger) if verdict.ledger else None,
        "workload": dict(verdict.workload),
        "race": _race(verdict.race) if verdict.race else None,
    }


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Replace the file at `path` as a whole, on disk before this returns."""
    beside = path.with_suffix(".json.new")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(document, file, indent=2, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def complete_as_aborted(
    run_directory: Path, *, reason: str, healed: Sequence[Mapping[str, Any]]
) -> None:
    """
    Give the run in `run_directory` its last word when the run itself no longer can.

    `healed` lists what was healed after the run was gone, each with `kind`, `dependency`,
    `mechanism` and `healed_at` (wall time). A verdict that is already whole is left alone.
    """
    path = run_directory / "verdict.json"
    document = json.loads(path.read_text("utf-8"))
    if document["ended_at"] is not None:
        return
    document |= {
        "status": Status.ABORTED.value,
        "band": Band.UNKNOWN.value,
        "exit_code": 1,
        "ended_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "reasons": [reason],
        "healed_by_watchdog": [dict(fault) for fault in healed],
    }
    write_document(path, document)


def _measurement(judgement: Judgement, verdict: Verdict) -> dict[str, Any]:
    measurement, limits = judgement.measurement, judgement.limits
    return measurement.as_dict() | {
        "probe": judgement.probe,
        "why": judgement.why,
        "band": judgement.band.value,
        "limits": {
            "better": limits.better.value,
            "excellent": limits.excellent,
            "good": limits.good,
            "warn": limits.warn,
            "samples_min": limits.samples_to_pass(share=measurement.is_share),
        },
        "advice": list(advise_on(judgement, verdict)),
    }


def advise_on(judgement: Judgement, verdict: Verdict) -> tuple[str, ...]:
    """What to do about one measurement of the run, given what was harmed when it was taken."""
    measurement = judgement.measurement
    if judgement.unproven:
        return (f"too few samples to call it good ({judgement.why}): let it take longer",)
    harmed = verdict.faults[0].dependency if verdict.faults else None
    return advise(
        measurement.name,
        measurement.value,
        judgement.band,
        dependency=harmed if measurement.phase is Phase.OUTAGE else None,
        evidence=measurement.evidence,
    )


def _phase(span: Span, started_ns: int) -> dict[str, Any]:
    end_s = None if span.end_ns is None else round((span.end_ns - started_ns) / 1e9, 3)
    return {
        "name": span.phase.value,
        "start_s": round((span.start_ns - started_ns) / 1e9, 3),
        "end_s": end_s,
    }


def _fault(fault: FaultReport) -> dict[str, Any]:
    return {
        "kind": fault.kind,
        "dependency": fault.dependency,
        "mechanism": fault.mechanism,
        "injected_at_s": fault.injected_at_s,
        "verified": fault.verified,
        "seen": fault.seen,
        "in_force_after_ms": fault.in_force_after_ms,
        "healed_at_s": fault.healed_at_s,
        "normal_after_ms": fault.normal_after_ms,
        "bypassed_by": fault.bypassed_by,
    }


def _ledger(ledger: LedgerReport) -> dict[str, Any]:
    return {
        "acked": ledger.acked,
        "refused": ledger.refused,
        "indeterminate": ledger.indeterminate,
        "lost": ledger.lost,
        "duplicated": ledger.duplicated,
        "phantom": ledger.phantom,
        "recovered": ledger.recovered,
        "in_queue": ledger.in_queue,
        "waiting": ledger.waiting,
        "whole_run": ledger.whole_run,
        "missing": ledger.missing,
        "doubt": ledger.doubt,
        "lost_ids": list(ledger.lost_ids),
        "duplicated_ids": list(ledger.duplicated_ids),
        "phantom_ids": list(ledger.phantom_ids),
    }


def _race(race: RaceReport) -> dict[str, Any]:
    return asdict(race) | {"evidence": [dict(one) for one in race.evidence]}
