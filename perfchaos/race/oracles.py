"""
Three oracles over recorded rounds: the replies, the database, the downstream effects.

Exactly one contender was told that it won; exactly one row says who holds the thing; exactly one
effect followed. A round is sound if all three agree on one contender. Each way to disagree has a
name. Pure functions over what was recorded; nothing here asks anybody.

A request without an answer is neither won nor lost. What the database holds decides it: whichever
of the unanswered contenders it names has won, and if it names none of them, none has. A round in
which somebody was refused or not answered may end without a winner and be no race: it was not
decided, and nobody was told anything that is not so.

Two requests of one name are one contender. A winner that repeats itself is told again that it won,
and a system may tell it anything else than that: the first answer stands.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from perfchaos.race.rounds import Round, Said
from perfchaos.recording.layout import class_of


class Finding(StrEnum):
    """A way in which the oracles disagree with each other, or with "exactly one"."""

    TWO_WINNERS = "more than one contender was told that it won"
    WINNER_FORGOTTEN = "a contender was told that it won, and the database does not hold it"
    LOSER_HELD = "a contender was told that it did not win, and the database holds it"
    STRANGER_HELD = "the database holds somebody who did not contend"
    TWO_HELD = "the database holds more than one winner"
    NO_WINNER = "all were told that they lost, and the database holds nobody"
    NO_EFFECT = "the winner's effect is missing"
    TWO_EFFECTS = "there is more than one effect"
    WRONG_EFFECT = "there is an effect for somebody who does not hold it"

    @property
    def may_pass(self) -> bool:
        """Whether a database that is only late would look like this at first."""
        return self in {Finding.WINNER_FORGOTTEN, Finding.NO_WINNER, Finding.NO_EFFECT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """
    What the database holds of one round, each row as the name of a contender.

    The same name twice is two rows: two rows of the accepted, or two effects.
    """

    holders: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """
    A round held against the database.

    `winner` is the one contender on whom all three oracles agree, None if there is none.
    """

    round: Round
    held: Held
    winner: str | None
    findings: tuple[Finding, ...]

    @property
    def raced(self) -> bool:
        """Whether the round proves a race condition."""
        return bool(self.findings)


def judge(one: Round, held: Held) -> Judged:
    """Hold what the contenders were told against what the database holds."""
    told = _told(one)
    findings = (*_by_replies(told), *_by_holders(told, held), *_by_effects(held))
    agreed = not findings and len(held.holders) == 1
    return Judged(
        round=one,
        held=held,
        winner=held.holders[0] if agreed else None,
        findings=tuple(dict.fromkeys(findings)),
    )


def judge_all(rounds: Iterable[Round], held: Mapping[str, Held]) -> tuple[Judged, ...]:
    """Every round that was released; of one that `held` leaves out, the database holds nobody."""
    return tuple(
        judge(one, held.get(one.key, Held())) for one in rounds if one.released_ns is not None
    )


def doubt(judged: Sequence[Judged], controls: Sequence[Judged] = ()) -> str | None:
    """
    Why it is the target file, rather than the target, that seems to be wrong; None if it is not.

    A wrong status or a wrong query makes every single round look the same impossible way. So may a
    target that is broken through and through, but nobody can tell which of the two it is: such a
    race proves nothing, and is not good either. Where everybody is told that it won, `controls`
    tell: without any race the second is told "lost", or takes what the first was told it had.
    """
    told = [_told(one.round) for one in judged]
    if not judged:
        return None
    if not any(one.held.holders or one.held.effects for one in judged) and not any(
        {Said.WON, Said.LOST} & set(said.values()) for said in told
    ):
        seen = _listed(neither_won_nor_lost(judged))
        return (
            f"no reply said who won or lost ({seen}): correct race.compete, race.won or race.lost"
        )
    if any(Said.WON in said.values() for said in told) and not any(
        one.held.holders for one in judged
    ):
        return "contenders won, and the query race.holders gives no row for any of the rounds"
    if any(one.held.holders for one in judged) and not any(one.held.effects for one in judged):
        return "winners are held, and the query race.effects gives no row for any of the rounds"
    if not any(map(_believed, controls)) and all(
        len(said) > 1
        and set(said.values()) == {Said.WON}
        and len(one.held.holders) == len(one.held.effects) == 1
        for one, said in zip(judged, told, strict=True)
    ):
        return (
            "every contender of every round is told that it won, while the database holds one:"
            " correct race.won, or add race.won_when"
        )
    return None


def _believed(control: Judged) -> bool:
    """Whether the replies are the target's fault, by two contenders one after the other."""
    if len(control.round.contenders) != 2:
        return False
    first, second = control.round.contenders
    if first.said is not Said.WON:
        return False
    if second.said is Said.WON:
        return control.held.holders == (second.name,)
    return second.said is Said.LOST


def neither_won_nor_lost(judged: Sequence[Judged]) -> dict[str, int]:
    """The replies outside `won` and `lost`, by status or failure, the most frequent first."""
    counts = Counter(
        class_of(contender.code)
        for one in judged
        for contender in one.round.contenders
        if contender.said in {Said.REFUSED, Said.NOTHING}
    )
    return dict(counts.most_common())


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{kind}: {count:,}" for kind, count in counts.items())


def _told(one: Round) -> dict[str, Said]:
    """What each contender was told; of several answers to one name, the best counts."""
    rank = (Said.WON, Said.LOST, Said.REFUSED, Said.NOTHING)
    told: dict[str, Said] = {}
    for contender in one.contenders:
        before = told.get(contender.name, contender.said)
        told[contender.name] = _better(before, contender.said, rank)
    return told


def _better(one: Said, other: Said, rank: tuple[Said, ...]) -> Said:
    # A "no" beside a missing answer is no proof of a "no": the other request may have won.
    if Said.WON not in (one, other) and Said.NOTHING in (one, other):
        return Said.NOTHING
    return min(one, other, key=rank.index)


def _by_replies(told: Mapping[str, Said]) -> Iterable[Finding]:
    if list(told.values()).count(Said.WON) > 1:
        yield Finding.TWO_WINNERS


def _by_holders(told: Mapping[str, Said], held: Held) -> Iterable[Finding]:
    holders = set(held.holders)
    if len(held.holders) > 1:
        yield Finding.TWO_HELD
    for name, said in told.items():
        if said is Said.WON and name not in holders:
            yield Finding.WINNER_FORGOTTEN
    for name in holders:
        if name not in told:
            yield Finding.STRANGER_HELD
        elif told[name] in {Said.LOST, Said.REFUSED}:
            yield Finding.LOSER_HELD
    if not holders and set(told.values()) == {Said.LOST}:
        yield Finding.NO_WINNER


def _by_effects(held: Held) -> Iterable[Finding]:
    if len(held.effects) > 1:
        yield Finding.TWO_EFFECTS
    if held.holders and not held.effects:
        yield Finding.NO_EFFECT
    if set(held.effects) - set(held.holders):
        yield Finding.WRONG_EFFECT
