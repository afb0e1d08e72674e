"""The judgements of a verdict as the rows of a table."""

from collections.abc import Iterable, Mapping

from perfchaos.report.wording import name_of
from perfchaos.timeline import Phase
from perfchaos.verdict import Judgement, counted


def phases_of(judgements: Iterable[Judgement]) -> list[Phase]:
    """The phases in which anything was judged, in the order of a run."""
    judged = {judgement.measurement.phase for judgement in judgements}
    return [phase for phase in Phase if phase in judged]


def rows_of(judgements: Iterable[Judgement]) -> dict[str, dict[Phase | None, Judgement]]:
    """
    One row a measurement, by its name in words; in it, its judgement in each phase.

    What two probes judged, of the same subject and phase, has a row for each with the probe's name.
    """
    rows: dict[str, dict[Phase | None, Judgement]] = {}
    for judgement in judgements:
        name, phase = name_of(judgement.measurement), judgement.measurement.phase
        if any(one.probe != judgement.probe for one in rows.get(name, {}).values()):
            name = f"{name} ({judgement.probe})"
        rows.setdefault(name, {})[phase] = judgement
    return rows


def why_of(row: Mapping[Phase | None, Judgement]) -> str:
    """What kept the measurements of a row from being known or better: each reason once."""
    reasons: dict[str, list[str]] = {}
    for judgement in counted(row.values()):
        phase = judgement.measurement.phase
        if judgement.why is not None:
            reasons.setdefault(judgement.why, []).append(phase.value if phase else "whole run")
    if len(reasons) == 1 and len(counted(row.values())) == 1:
        return "; ".join(reasons)
    return "; ".join(f"{', '.join(phases)}: {why}" for why, phases in reasons.items())
