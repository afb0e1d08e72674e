"""Looks the rounds up until nothing that may still come is missing, and judges them."""

import time
from collections.abc import Callable, Sequence

from perfchaos.errors import PerfchaosError
from perfchaos.postgres_client import login_of
from perfchaos.race.books import held_by_database
from perfchaos.race.oracles import Judged, judge_all
from perfchaos.race.rounds import Round, Said
from perfchaos.target import Target

LOOK_EVERY_S = 0.25


def settle(
    target: Target, rounds: Sequence[Round], *, drain_s: float, wait: Callable[[float], None]
) -> tuple[Judged, ...]:
    """
    The rounds that were released, judged by what the database holds of them.

    A database may be late: what could still come is waited for, for `drain_s` at most, and so is
    that long after the last request without an answer, which may yet be done. `wait` pauses for so
    many seconds between two looks.

    Raises:
        PerfchaosError: the target file has no race, or the database cannot be asked.

    """
    if target.race is None:
        raise PerfchaosError(
            f"target file {target.path} has no race", next_step="add the section 'race'"
        )
    login = login_of(target)
    keys = [one.key for one in rounds if one.released_ns is not None]
    deadline_s = time.monotonic() + drain_s
    open_until_s = max(map(_unanswered_s, rounds), default=0.0) + drain_s
    while True:
        judged = judge_all(rounds, held_by_database(login, target.race, keys))
        now_s = time.monotonic()
        late = any(finding.may_pass for one in judged for finding in one.findings)
        if now_s >= open_until_s and not (late and now_s < deadline_s):
            return judged
        wait(LOOK_EVERY_S)


def _unanswered_s(one: Round) -> float:
    """When the last of its requests without an answer was given up; long ago if there is none."""
    return max(
        (contender.done_ns / 1e9 for contender in one.contenders if contender.said is Said.NOTHING),
        default=float("-inf"),
    )
