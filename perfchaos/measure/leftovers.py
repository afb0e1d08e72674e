"""
What an outage leaves behind: connections that are there afterwards, and that nobody uses.

A pool that has grown in the outage and uses what it has is no leftover, and neither is one of many
that a large pool seldom takes. What counts is how many more there are than ever in the baseline, as
far as they have not been used since. Whoever gives such connections up only after minutes is seen
to have them too: nobody can tell yet that it will.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np

from perfchaos.phases import after_harm, belong
from perfchaos.timeline import Phase, Span
from perfchaos.verdict import Measurement

# The end of a phase is this long: connections come and go.
_END_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """How many were connected at one look, and for how long some had not been used."""

    at_ns: int
    count: int
    unused_s: tuple[float, ...]


type Looks = Sequence[Census]


def left_behind(
    looks: Looks, spans: Sequence[Span], *, name: str, unit: str, settled_s: float, now_ns: int
) -> Measurement:
    """
    How many more are connected at the end than ever in the baseline, and unused for `settled_s`.

    Unknown where that long has not passed since the last outage. `after_each` in the evidence is
    how many were connected at the end of each recovery.
    """
    harmed = any(span.phase is Phase.OUTAGE for span in spans)
    recoveries = [span for span in spans if span.phase is Phase.RECOVERY]
    before = _in(looks, spans, Phase.BASELINE, now_ns)
    ends = [_end(_in(looks, (span,), Phase.RECOVERY, now_ns)) for span in recoveries]
    last = ends[-1] if ends else ()
    settled = bool(last) and last[-1].at_ns - recoveries[-1].start_ns >= settled_s * 1e9
    value, most = None, max((one.count for one in before), default=None)
    if most is not None and (settled or not harmed):
        more = min((one.count for one in last), default=most) - most
        unused = min((sum(s >= settled_s for s in one.unused_s) for one in last), default=0)
        value = float(max(0, min(more, unused)))
    return Measurement(
        name=name,
        phase=after_harm(harmed=harmed),
        value=value,
        unit=unit,
        samples=len(last if harmed else before),
        evidence={
            "before": most,
            "after": min((one.count for one in last), default=None),
            "after_each": " ".join(str(min(one.count for one in end)) for end in ends if end),
            "unused_longest_s": max(
                (one.unused_s[0] for one in last if one.unused_s), default=None
            ),
            **({} if value is not None else {"why": _why(most, settled_s)}),
        },
    )


def _why(most: int | None, settled_s: float) -> str:
    if most is None:
        return "nobody could be counted in the baseline"
    return f"nobody could be counted {settled_s:g} s after the outage, while the load went on"


def _end(looks: Looks) -> Looks:
    return [one for one in looks if one.at_ns > looks[-1].at_ns - _END_NS]


def _in(looks: Looks, spans: Sequence[Span], phase: Phase, now_ns: int) -> Looks:
    at_ns = np.array([one.at_ns for one in looks], np.int64)
    return list(compress(looks, belong(at_ns, at_ns, spans, phase, now_ns=now_ns)))
