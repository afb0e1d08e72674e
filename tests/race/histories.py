"""Literal rounds, as short as they can be written."""

from perfchaos.race.contest import Contest
from perfchaos.race.oracles import Held, judge_all
from perfchaos.race.rounds import Contender, Round, Said

WON, LOST, REFUSED, NOTHING = Said.WON, Said.LOST, Said.REFUSED, Said.NOTHING
_CODES = {WON: 200, LOST: 409, REFUSED: 503, NOTHING: 1}


def round_of(
    *told: tuple[str, Said],
    number: int = 0,
    began_ns: int = 0,
    overlapped: bool = True,
    problem: str | None = None,
) -> Round:
    """A round in which these contenders, in the order of release, were told these answers."""
    return Round(
        number=number,
        key=f"order {number}",
        began_ns=began_ns,
        released_ns=began_ns + 1_000 if told else None,
        ended_ns=began_ns + 900_000,
        overlapped=overlapped and bool(told),
        problem=problem,
        contenders=tuple(
            Contender(
                name=name,
                request=f"POST /accept {name}",
                sent_ns=began_ns + 10_000 * (place + 1),
                done_ns=began_ns + 500_000,
                code=_CODES[said],
                said=said,
                reply="",
            )
            for place, (name, said) in enumerate(told)
        ),
    )


def contest_of(*rounds: tuple[Round, Held]) -> Contest:
    """These rounds, of which the database holds this."""
    held = {one.key: holding for one, holding in rounds}
    all_rounds = tuple(one for one, _ in rounds)
    return Contest(rounds=all_rounds, judged=judge_all(all_rounds, held))


def sound(
    number: int = 0, *, winner: str = "1", began_ns: int = 0, overlapped: bool = True
) -> tuple[Round, Held]:
    """A round of three with one winner, whom the database holds."""
    told = [(name, WON if name == winner else LOST) for name in ("1", "2", "3")]
    one = round_of(*told, number=number, began_ns=began_ns, overlapped=overlapped)
    return one, Held(holders=(winner,), effects=(winner,))


def raced(number: int = 0, *, began_ns: int = 0, overlapped: bool = True) -> tuple[Round, Held]:
    """A round of three with two winners, by every account."""
    told = (("1", WON), ("2", WON), ("3", LOST))
    one = round_of(*told, number=number, began_ns=began_ns, overlapped=overlapped)
    return one, Held(holders=("1", "2"), effects=("1", "2"))
