"""The rounds of a run with what the database holds of them, and the part that fell in a phase."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np

from perfchaos.phases import Mask, belong
from perfchaos.race.oracles import Judged
from perfchaos.race.rounds import Round
from perfchaos.timeline import Phase, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """
    All rounds, those too that came to nothing; `judged` are those that were released.

    `controls` were no races: two contenders one after the other, by which `doubt` is settled.
    """

    rounds: tuple[Round, ...]
    judged: tuple[Judged, ...]
    controls: tuple[Judged, ...] = ()

    @property
    def effective(self) -> tuple[Judged, ...]:
        """Those that had all contenders at the server at once."""
        return tuple(one for one in self.judged if one.round.effective)

    @property
    def counted(self) -> tuple[Judged, ...]:
        """Those that prove something: the effective ones, and any other that proves a race."""
        return tuple(one for one in self.judged if one.round.effective or one.raced)

    @property
    def raced(self) -> tuple[Judged, ...]:
        """Those that prove a race."""
        return tuple(one for one in self.judged if one.raced)

    def during(self, phase: Phase, spans: Sequence[Span], *, now_ns: int) -> "Contest":
        """
        The rounds of `phase`; one that still lasts reaches to `now_ns`.

        As with requests, a round belongs to the outage if any moment of it fell into one.
        """
        judged_rounds = [one.round for one in self.judged]
        return Contest(
            rounds=tuple(compress(self.rounds, _belong(self.rounds, spans, phase, now_ns))),
            judged=tuple(compress(self.judged, _belong(judged_rounds, spans, phase, now_ns))),
            controls=self.controls,
        )


def _belong(rounds: Sequence[Round], spans: Sequence[Span], phase: Phase, now_ns: int) -> Mask:
    began_ns = np.array([one.began_ns for one in rounds], np.int64)
    ended_ns = np.array([one.ended_ns for one in rounds], np.int64)
    return belong(began_ns, ended_ns, spans, phase, now_ns=now_ns)
