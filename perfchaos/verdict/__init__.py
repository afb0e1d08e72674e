"""From measurements and thresholds to a verdict that is never green for lack of data."""

from perfchaos.verdict.band import Band, worst
from perfchaos.verdict.document import (
    FaultReport,
    LedgerReport,
    RaceReport,
    Status,
    Verdict,
    advise_on,
    as_document,
    complete_as_aborted,
    write_document,
)
from perfchaos.verdict.limits import Better, Limits
from perfchaos.verdict.measurement import SEEN, Judgement, Measurement, NotAsked, counted, judge

__all__ = [
    "SEEN",
    "Band",
    "Better",
    "FaultReport",
    "Judgement",
    "LedgerReport",
    "Limits",
    "Measurement",
    "NotAsked",
    "RaceReport",
    "Status",
    "Verdict",
    "advise_on",
    "as_document",
    "complete_as_aborted",
    "counted",
    "judge",
    "worst",
    "write_document",
]
