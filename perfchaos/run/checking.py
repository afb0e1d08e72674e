"""What is wrong with a hypothesis that shows before anything is measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from perfchaos.errors import PerfchaosError
from perfchaos.run.journal import THRESHOLDS
from perfchaos.timeline import Phase
from perfchaos.verdict import Better, Limits

_BETTER = {"at_most": Better.LOWER, "at_least": Better.HIGHER}


def hypothesis_mistakes(probes: Sequence[Mapping[str, Any]]) -> list[str]:
    """The phases and limits that make no sense; `probes` have their placeholders filled in."""
    return [
        f"the probe '{probe['name']}': {mistake}"
        for probe in probes
        for mistake in (*_phase_mistakes(probe), *_limit_mistakes(probe.get("tolerance")))
    ]


def _phase_mistakes(probe: Mapping[str, Any]) -> list[str]:
    if not str(probe["provider"].get("module", "")).startswith("probes."):
        return []
    phases = (probe["provider"].get("arguments") or {}).get("phases")
    if phases is None:
        return []
    if not isinstance(phases, list) or not phases:
        return [f"phases is {phases!r}, not a list of phases: nothing would be measured"]
    known = [phase.value for phase in Phase]
    return [f"phases: {one!r} is none of {', '.join(known)}" for one in phases if one not in known]


def _limit_mistakes(tolerance: object) -> list[str]:
    provider = tolerance.get("provider") if isinstance(tolerance, Mapping) else None
    if not isinstance(provider, Mapping) or provider.get("module") != THRESHOLDS:
        return []
    arguments = dict(provider.get("arguments") or {})
    arguments.pop("value", None)
    try:
        Limits(better=_BETTER[provider["func"]], **arguments)
    except PerfchaosError as error:
        return [str(error)]
    except (KeyError, TypeError):
        return [f"{THRESHOLDS} cannot be called with {provider.get('func')} and {arguments}"]
    return []
