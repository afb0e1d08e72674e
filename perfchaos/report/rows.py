"""The judgements of a verdict as the rows of a table."""

from collections.abc import Iterable

from perfchaos.report.wording import name_of
from perfchaos.timeline import Phase
from perfchaos.verdict import Judgement


def rows_of(judgements: Iterable[Judgement]) -> dict[str, dict[Phase | None, Judgement]]:
    """One row a measurement, by its name in words; in it, its judgement in each phase."""
    rows: dict[str, dict[Phase | None, Judgement]] = {}
    for judgement in judgements:
        row = rows.setdefault(name_of(judgement.measurement), {})
        row[judgement.measurement.phase] = judgement
    return rows
