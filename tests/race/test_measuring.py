"""What is counted, and what is not, in a contest of literal rounds."""

import pytest

from perfchaos.race.bound import upper_bound
from perfchaos.race.measuring import effective_round_count, race_ratio, report, win_ratio
from perfchaos.race.oracles import Held
from perfchaos.timeline import Phase, Span
from perfchaos.verdict import Band, Better, Limits
from tests.race.histories import LOST, NOTHING, REFUSED, WON, contest_of, raced, round_of, sound

MS = 1_000_000


def test_ratios_rest_on_effective_rounds() -> None:
    contest = contest_of(sound(0), sound(1), raced(2), sound(3, overlapped=False))
    won, races = win_ratio(contest, None), race_ratio(contest, None)
    assert (won.value, won.samples) == (2 / 3, 3)
    assert (races.value, races.samples) == (1 / 3, 3)


def test_a_race_counts_even_if_the_round_was_not_effective() -> None:
    contest = contest_of(sound(0), raced(1, overlapped=False))
    races = race_ratio(contest, None)
    assert (races.value, races.samples) == (1 / 2, 2)
    assert win_ratio(contest, None).value == 1.0


def test_a_round_that_nobody_won_is_neither_a_win_nor_a_race() -> None:
    undecided = round_of(("1", REFUSED), ("2", NOTHING), number=1), Held()
    contest = contest_of(sound(0), undecided)
    assert win_ratio(contest, None).value == 1 / 2
    assert win_ratio(contest, None).evidence["undecided"] == 1
    assert race_ratio(contest, None).value == 0


def test_nothing_raced_is_bounded_and_not_proved_impossible() -> None:
    contest = contest_of(*(sound(number) for number in range(20)))
    evidence = race_ratio(contest, None).evidence
    assert evidence["below, with 95 % confidence"] == upper_bound(0, 20)
    assert report(contest).rate_at_most == pytest.approx(1 - 0.05 ** (1 / 20))


@pytest.mark.parametrize(("rounds", "band"), [(19, Band.UNKNOWN), (20, Band.GOOD)])
def test_too_few_effective_rounds_are_unknown(rounds: int, band: Band) -> None:
    contest = contest_of(*(sound(number) for number in range(rounds)), sound(99, overlapped=False))
    measured = effective_round_count(contest, None)
    limits = Limits(better=Better.HIGHER, good=20, samples_min=20)
    assert limits.judge(measured.value, samples=measured.samples) is band


def test_seen_races_are_bounded_from_below() -> None:
    contest = contest_of(sound(0), sound(1), raced(2))
    evidence = race_ratio(contest, None).evidence
    assert "below, with 95 % confidence" not in evidence
    assert evidence["at least, with 95 % confidence"] == pytest.approx(1 - 0.95 ** (1 / 3))
    assert report(contest).rate_at_least == pytest.approx(1 - 0.95 ** (1 / 3))


def test_replies_that_were_neither_won_nor_lost_are_counted() -> None:
    odd = round_of(("1", REFUSED), ("2", LOST), ("3", REFUSED), number=1), Held()
    contest = contest_of(sound(0), odd)
    assert sum(report(contest).neither.values()) == 2
    assert race_ratio(contest, None).evidence["neither won nor lost: HTTP 503"] == 2


def test_a_race_in_which_every_reply_was_refused_is_unknown() -> None:
    contest = contest_of(
        *((round_of(("1", REFUSED), ("2", REFUSED), number=n), Held()) for n in range(30))
    )
    assert win_ratio(contest, None).value is None
    assert race_ratio(contest, None).value is None


def test_no_round_at_all_is_unknown() -> None:
    contest = contest_of()
    assert win_ratio(contest, None).value is None
    assert race_ratio(contest, None).value is None
    assert effective_round_count(contest, None).samples == 0
    assert report(contest).rate_at_most == 1.0


def test_why_rounds_were_not_effective_is_told() -> None:
    failed = round_of(number=2, problem="set-up step 0: HTTP 503"), Held()
    contest = contest_of(sound(0), sound(1, overlapped=False), failed)
    evidence = effective_round_count(contest, None).evidence
    assert evidence["rounds"] == 3
    assert evidence["not effective: set-up step 0: HTTP 503"] == 1
    assert evidence["not effective: a reply was in before the last request was out"] == 1
    assert evidence["skew_p50_us"] == 20.0


def test_the_first_to_be_released_is_told_with_its_uncertainty() -> None:
    contest = contest_of(sound(0), sound(1), sound(2, winner="3"), sound(3, winner="2"))
    evidence = win_ratio(contest, None).evidence
    assert evidence["first released won"] == 2
    assert evidence["first released wins, at least"] == pytest.approx(0.0676, abs=1e-4)
    assert evidence["first released wins, at most"] == pytest.approx(0.9324, abs=1e-4)
    assert evidence["winner_behind_first_p50_us"] == 0.0
    assert evidence["winner_behind_first_p99_us"] == 20.0


def test_the_evidence_of_a_race_is_whole() -> None:
    told = report(contest_of(sound(0), raced(1)))
    assert (told.raced, told.won, told.effective) == (1, 1, 2)
    (evidence,) = told.evidence
    assert evidence["number"] == 1
    assert evidence["holders"] == ["1", "2"]
    assert [one["request"] for one in evidence["contenders"]] == [
        "POST /accept 1",
        "POST /accept 2",
        "POST /accept 3",
    ]


def test_a_doubted_race_is_neither_green_nor_a_race() -> None:
    everybody = [
        (round_of(("1", WON), ("2", WON), number=n), Held(holders=("1",), effects=("1",)))
        for n in range(30)
    ]
    contest = contest_of(*everybody)
    assert win_ratio(contest, None).value is None
    assert race_ratio(contest, None).value is None
    assert "race.won" in str(race_ratio(contest, None).evidence["why"])
    assert report(contest).raced == 0
    assert report(contest).doubt is not None


SPANS = (
    Span(phase=Phase.BASELINE, start_ns=10 * MS, end_ns=20 * MS),
    Span(phase=Phase.OUTAGE, start_ns=20 * MS, end_ns=30 * MS),
    Span(phase=Phase.RECOVERY, start_ns=30 * MS, end_ns=None),
)


@pytest.mark.parametrize(
    ("began_ns", "phase"),
    # Each round lasts 0.9 ms.
    [
        (9 * MS, None),
        (10 * MS, Phase.BASELINE),
        (19 * MS, Phase.BASELINE),
        (20 * MS - 900_000, Phase.BASELINE),
        (20 * MS - 899_999, Phase.OUTAGE),
        (25 * MS, Phase.OUTAGE),
        (30 * MS - 1, Phase.OUTAGE),
        (30 * MS, Phase.RECOVERY),
        (39 * MS, Phase.RECOVERY),
        (40 * MS, None),
    ],
)
def test_a_round_that_an_outage_touched_belongs_to_it(began_ns: int, phase: Phase | None) -> None:
    contest = contest_of(sound(0, began_ns=began_ns))
    found = [one for one in Phase if contest.during(one, SPANS, now_ns=40 * MS).rounds]
    assert found == ([] if phase is None else [phase])
