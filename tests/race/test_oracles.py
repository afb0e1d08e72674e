"""The oracles over literal histories: each disagreement by its name, and no other."""

import pytest

from perfchaos.race.oracles import Finding, Held, doubt, judge
from perfchaos.race.rounds import Round, Said
from tests.race.histories import (
    LOST,
    NOTHING,
    REFUSED,
    WON,
    contest_of,
    raced,
    round_of,
    sound,
)

ONE = Held(holders=("1",), effects=("1",))
NOBODY = Held()


@pytest.mark.parametrize(
    ("told", "held", "winner"),
    [
        ([("1", WON), ("2", LOST)], ONE, "1"),
        # Neither won nor lost: the database decides.
        ([("1", NOTHING), ("2", LOST)], ONE, "1"),
        ([("1", NOTHING), ("2", NOTHING)], ONE, "1"),
        ([("1", NOTHING), ("2", NOTHING)], NOBODY, None),
        ([("1", NOTHING), ("2", LOST)], NOBODY, None),
        # Nothing was decided, and nobody was told otherwise.
        ([("1", REFUSED), ("2", REFUSED)], NOBODY, None),
        ([("1", REFUSED), ("2", LOST)], NOBODY, None),
        # A repeated request: the first answer stands, whatever the second one was.
        ([("1", WON), ("2", LOST), ("1", WON)], ONE, "1"),
        ([("1", WON), ("2", LOST), ("1", LOST)], ONE, "1"),
        ([("1", LOST), ("2", LOST), ("1", NOTHING)], ONE, "1"),
    ],
)
def test_oracles_that_agree_find_nothing(
    told: list[tuple[str, Said]], held: Held, winner: str | None
) -> None:
    judged = judge(round_of(*told), held)
    assert (judged.findings, judged.winner) == ((), winner)


@pytest.mark.parametrize(
    ("told", "held", "findings"),
    [
        (
            [("1", WON), ("2", WON)],
            Held(holders=("1", "2"), effects=("1", "2")),
            {Finding.TWO_WINNERS, Finding.TWO_HELD, Finding.TWO_EFFECTS},
        ),
        ([("1", WON), ("2", WON)], ONE, {Finding.TWO_WINNERS, Finding.WINNER_FORGOTTEN}),
        ([("1", WON), ("2", LOST)], NOBODY, {Finding.WINNER_FORGOTTEN}),
        ([("1", LOST), ("2", LOST)], ONE, {Finding.LOSER_HELD}),
        ([("1", REFUSED), ("2", LOST)], ONE, {Finding.LOSER_HELD}),
        ([("2", LOST), ("3", WON)], Held(holders=("3", "1")), {
            Finding.TWO_HELD, Finding.STRANGER_HELD, Finding.NO_EFFECT}),
        (
            [("1", WON), ("2", LOST)],
            Held(holders=("1", "2"), effects=("1",)),
            {Finding.TWO_HELD, Finding.LOSER_HELD},
        ),
        (
            [("1", WON), ("2", LOST)],
            Held(holders=("1", "1"), effects=("1",)),
            {Finding.TWO_HELD},
        ),
        ([("1", LOST), ("2", LOST)], NOBODY, {Finding.NO_WINNER}),
        ([("1", WON), ("2", LOST)], Held(holders=("1",)), {Finding.NO_EFFECT}),
        (
            [("1", WON), ("2", LOST)],
            Held(holders=("1",), effects=("1", "1")),
            {Finding.TWO_EFFECTS},
        ),
        (
            [("1", WON), ("2", LOST)],
            Held(holders=("1",), effects=("2",)),
            {Finding.WRONG_EFFECT},
        ),
        ([("1", REFUSED), ("2", REFUSED)], Held(effects=("2",)), {Finding.WRONG_EFFECT}),
        # Without an answer, and yet more than one has it.
        (
            [("1", NOTHING), ("2", NOTHING)],
            Held(holders=("1", "2"), effects=("1",)),
            {Finding.TWO_HELD},
        ),
    ],
)  # fmt: skip
def test_each_disagreement_has_its_name(
    told: list[tuple[str, Said]], held: Held, findings: set[Finding]
) -> None:
    judged = judge(round_of(*told), held)
    assert set(judged.findings) == findings
    assert judged.winner is None


def test_a_round_that_was_not_released_is_not_judged() -> None:
    assert contest_of((round_of(problem="no set-up"), NOBODY)).judged == ()


def test_only_what_may_still_come_is_waited_for() -> None:
    assert {finding for finding in Finding if finding.may_pass} == {
        Finding.WINNER_FORGOTTEN,
        Finding.NO_WINNER,
        Finding.NO_EFFECT,
    }


def all_told_that_they_won(number: int) -> tuple[Round, Held]:
    return round_of(("1", WON), ("2", WON), number=number), ONE


def test_replies_that_tell_nobody_apart_are_doubted() -> None:
    judged = contest_of(all_told_that_they_won(0), all_told_that_they_won(1)).judged
    assert "race.won" in str(doubt(judged))


@pytest.mark.parametrize(
    ("second", "holder", "is_doubted"),
    [
        (WON, "1", True),  # The reply says "won" to whom the database does not hold.
        (WON, "2", False),  # The second took what the first was told it had.
        (LOST, "1", False),  # Without a race the replies are right.
        (REFUSED, "1", True),
    ],
)
def test_a_control_tells_a_lost_lock_from_a_wrong_target_file(
    second: Said, holder: str, is_doubted: bool
) -> None:
    judged = contest_of(all_told_that_they_won(0), all_told_that_they_won(1)).judged
    control = judge(
        round_of(("1", WON), ("2", second), number=2),
        Held(holders=(holder,), effects=(holder,)),
    )
    assert (doubt(judged, (control,)) is not None) is is_doubted


def test_one_round_with_a_loser_is_enough_to_believe_the_replies() -> None:
    assert doubt(contest_of(all_told_that_they_won(0), sound(1)).judged) is None


def test_a_target_without_any_lock_is_believed() -> None:
    everybody = round_of(("1", WON), ("2", WON)), Held(holders=("1", "2"), effects=("1", "2"))
    assert doubt(contest_of(everybody).judged) is None


def test_a_holders_query_that_finds_nobody_ever_is_doubted() -> None:
    lost = [(one, NOBODY) for one, _ in (sound(0), sound(1))]
    assert "race.holders" in str(doubt(contest_of(*lost).judged))
    assert doubt(contest_of(*lost, sound(2)).judged) is None


def test_an_effects_query_that_finds_nothing_ever_is_doubted() -> None:
    bare = [(one, Held(holders=held.holders)) for one, held in (sound(0), sound(1))]
    assert "race.effects" in str(doubt(contest_of(*bare).judged))
    assert doubt(contest_of(*bare, sound(2)).judged) is None


def test_replies_of_which_none_won_or_lost_are_doubted_with_their_statuses() -> None:
    refused = round_of(("1", REFUSED), ("2", REFUSED)), NOBODY
    assert "503: 2" in str(doubt(contest_of(refused).judged))
    lost = round_of(("1", REFUSED), ("2", LOST), number=1), NOBODY
    assert doubt(contest_of(refused, lost).judged) is None
    held = round_of(("1", REFUSED), ("2", NOTHING), number=1), Held(holders=("2",), effects=("2",))
    assert doubt(contest_of(refused, held).judged) is None


def test_what_was_not_asked_and_what_raced_is_not_doubted() -> None:
    assert doubt(()) is None
    assert doubt(contest_of(raced()).judged) is None
