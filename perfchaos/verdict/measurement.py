"""What a probe measured, and how it was judged."""

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from perfchaos.errors import InvalidInput
from perfchaos.timeline import Fact, Phase
from perfchaos.verdict.band import Band
from perfchaos.verdict.limits import Better, Limits

SEEN = "seen: "
"""How the names of facts begin that count in which way requests ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """
    One value in one phase (or over the whole run, where `phase` is None).

    `subject` is what it was measured of where there can be several, such as a container. `value` is
    None when it could not be measured; `evidence` then says `why`, or how requests ended (`seen: `
    and the way), and otherwise holds the figures the value rests on. With `lower_bound` it may be
    more: no more was asked for.
    """

    name: str
    phase: Phase | None
    value: float | None
    unit: str
    samples: int
    subject: str | None = None
    evidence: Mapping[str, Fact] = field(default_factory=dict)
    lower_bound: bool = False

    @property
    def is_share(self) -> bool:
        """Whether it is the share of its samples that are of some kind."""
        return self.unit == "ratio"

    @property
    def why_not(self) -> str:
        """Why there is no value: as the evidence says, or how most of the requests ended."""
        if self.evidence.get("why"):
            return str(self.evidence["why"])
        ended = {
            name.removeprefix(SEEN): count
            for name, count in self.evidence.items()
            if name.startswith(SEEN) and isinstance(count, int)
        }
        if not ended:
            return "there are no samples" if not self.samples else "it could not be told"
        most = max(ended, key=lambda name: ended[name])
        return f"{most}: {ended[most]:,} of {sum(ended.values()):,}"

    def as_dict(self) -> dict[str, Any]:
        """The measurement as plain data, for the journal and the verdict."""
        return {
            "name": self.name,
            "subject": self.subject,
            "phase": self.phase.value if self.phase else None,
            "value": self.value,
            "unit": self.unit,
            "samples": self.samples,
            "evidence": dict(self.evidence),
            "lower_bound": self.lower_bound,
        }

    @classmethod
    def from_dict(cls, data: object) -> "Measurement":
        """
        The measurement that `as_dict` made plain.

        Raises:
            InvalidInput: `data` is something else.

        """
        try:
            document = dict(data)  # type: ignore[call-overload]
            phase = document.pop("phase")
            return cls(phase=Phase(phase) if phase else None, **document)
        except (TypeError, ValueError, KeyError):
            raise InvalidInput(
                "the value given to a threshold",
                ["it is not a measurement"],
                next_step="use probes.band only on probes that come with perfchaos",
            ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAsked:
    """
    A measurement that has no meaning for the target: it does not have what is measured.

    Not one that could not be taken. That the target has no such thing stands in its file.
    """

    name: str
    why: str

    def as_dict(self) -> dict[str, str]:
        """It as plain data, in the place of a measurement."""
        return {"name": self.name, "not_asked": self.why}

    @classmethod
    def from_dict(cls, data: object) -> "NotAsked | None":
        """What `as_dict` made plain; None if `data` is something else."""
        if not isinstance(data, dict) or data.keys() != {"name", "not_asked"}:
            return None
        return cls(name=data["name"], why=data["not_asked"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """
    A measurement with the limits it was held against and the band it fell in.

    `probe` is the name of the probe that asked for it, empty where nobody said. `why` says what
    kept it from a better band, or from any, where that was not its value.
    """

    measurement: Measurement
    limits: Limits
    band: Band
    probe: str = ""
    why: str | None = None

    @property
    def key(self) -> tuple[str, str, str | None, str | None]:
        """What it is the judgement of: asked again, this one is replaced and no other."""
        one = self.measurement
        return self.probe, one.name, one.subject, one.phase

    @property
    def unproven(self) -> bool:
        """Whether it is no better only because its samples prove no more."""
        return self.band is Band.WARN and self.why is not None


def judge(
    measurement: Measurement, limits: Limits, *, probe: str = "", yardstick: bool = False
) -> Judgement:
    """
    Hold `measurement`, asked for by `probe`, against `limits`.

    A `yardstick` is what other phases are compared with. A share that keeps its limit there need
    not prove it, for that is not the question; it is not called good without proof either.

    A lower bound that stays below a lower limit does not break it: what was asked for was done. One
    that breaks an upper limit is critical; one that keeps it proves nothing, for it may be more.
    """
    share, value = measurement.is_share, measurement.value
    band = limits.judge(value, samples=measurement.samples, share=share)
    why = _unproven(measurement, limits, band)
    known = limits.judge(value, samples=measurement.samples) is not Band.UNKNOWN
    if yardstick and known and band is Band.UNKNOWN:
        band = Band.WARN
    if measurement.lower_bound and limits.better is Better.HIGHER and band is not Band.UNKNOWN:
        band = Band.GOOD if band in (Band.WARN, Band.CRITICAL) else band
    elif measurement.lower_bound and limits.better is Better.LOWER and band is not Band.CRITICAL:
        band, why = Band.UNKNOWN, why or "it may be more: it was not watched for longer"
    return Judgement(measurement=measurement, limits=limits, band=band, probe=probe, why=why)


def _unproven(measurement: Measurement, limits: Limits, band: Band) -> str | None:
    """What kept a measurement from being known, or from the band that its value would be in."""
    value, samples, share = measurement.value, measurement.samples, measurement.is_share
    if value is None or math.isnan(value):
        return measurement.why_not
    if band is Band.UNKNOWN:
        return f"{samples:,} of {limits.samples_to_pass(share=share):,} samples"
    by_value = limits.judge(value, samples=sys.maxsize, share=share)
    if by_value is band:
        return None
    needed = limits.samples_for(by_value, share=share)
    return f"{samples:,} of the {needed:,} samples that {by_value.value} takes"


def counted(judgements: Iterable[Judgement]) -> list[Judgement]:
    """
    The judgements that decide how good a run is.

    A baseline that is well, and too short to prove it, does not: what the same probe found in the
    phases that the question is about does.
    """
    all_of_them = list(judgements)
    elsewhere = {
        (one.probe, one.measurement.name, one.measurement.subject)
        for one in all_of_them
        if one.measurement.phase is not Phase.BASELINE
    }
    return [
        one
        for one in all_of_them
        if not one.unproven
        or one.measurement.phase is not Phase.BASELINE
        or (one.probe, one.measurement.name, one.measurement.subject) not in elsewhere
    ]
