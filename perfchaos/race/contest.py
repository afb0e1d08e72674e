"""The rounds of a run with what the database holds of them, and the part that fell in a phase."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
        outages = [span for span in spans if span.phase is Phase.OUTAGE]
        own = [span for span in spans if span.phase is phase]

        def inside(one: Round) -> bool:
            harmed = _touches(one, outages, now_ns)
            if phase is Phase.OUTAGE:
                return harmed
            return not harmed and any(
                span.start_ns <= one.began_ns < (span.end_ns or now_ns) for span in own
            )

        return Contest(
            rounds=tuple(filter(inside, self.rounds)),
            judged=tuple(one for one in self.judged if inside(one.round)),
            controls=self.controls,
        )


def _touches(one: Round, spans: Iterable[Span], now_ns: int) -> bool:
    return any(
        one.began_ns < (span.end_ns or now_ns) and one.ended_ns > span.start_ns for span in spans
    )
