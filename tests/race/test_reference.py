"""Every detector on a planted fault, and on systems that are sound in three different ways."""

import uuid
from dataclasses import replace

import pytest

from perfchaos.errors import PerfchaosError
from perfchaos.postgres_client import login_of
from perfchaos.race.books import held_by_database
from perfchaos.race.measuring import effective_round_count, race_ratio, report, win_ratio
from perfchaos.race.oracles import Finding
from perfchaos.race.rounds import Said
from perfchaos.target import Race, SetUpStatement, Target
from tests.race.conftest import RaceAgainst
from tests.reference.conftest import Marketplace

HOLDERS = (
    "SELECT order_id, vendor_id FROM vendor_responses WHERE order_id = ANY(%(rounds)s::uuid[])"
)
ROUTE = """
    WITH created AS (INSERT INTO orders (id) VALUES (%(uuid)s) RETURNING id)
    INSERT INTO routings (order_id, vendor_id)
    SELECT created.id, vendor_id FROM created, generate_series(1, %(contenders)s) vendor_id
    RETURNING order_id, vendor_id
"""
TWO = {Finding.TWO_WINNERS, Finding.TWO_HELD, Finding.TWO_EFFECTS}


@pytest.mark.parametrize(
    ("defect", "findings"),
    [
        ("race_no_lock", TWO),
        ("race_check_then_act", TWO),
        ("race_lock_released_before_commit", TWO),
        ("race_redis_lock_expires", TWO),
        ("race_index_on_wrong_column", TWO),
        ("race_idempotent_by_vendor", {Finding.WINNER_FORGOTTEN}),
    ],
)
def test_each_planted_race_is_found_by_its_oracles(
    marketplace: Marketplace, race: RaceAgainst, defect: str, findings: set[Finding]
) -> None:
    with marketplace.service(DEFECTS=defect) as service:
        contest = race(service)
    assert {finding for one in contest.raced for finding in one.findings} == findings
    told = report(contest)
    assert told.raced == len(contest.raced) > 0
    assert told.doubt is None
    assert race_ratio(contest, None).value == told.raced / len(contest.counted)


@pytest.mark.parametrize("strategy", ["unique_index", "for_update", "serializable"])
def test_each_remedy_has_one_winner_a_round(
    marketplace: Marketplace, race: RaceAgainst, strategy: str
) -> None:
    with marketplace.service(ACCEPTANCE_STRATEGY=strategy) as service:
        contests = [race(service), race(service, duplicates=4)]
    for contest in contests:
        assert contest.raced == ()
        assert win_ratio(contest, None).value == 1.0
        assert race_ratio(contest, None).value == 0.0
        assert effective_round_count(contest, None).samples >= 10


def test_what_nobody_was_told_is_decided_by_the_database(
    marketplace: Marketplace, race: RaceAgainst, target: Target
) -> None:
    # The set-up goes around the proxy; the acceptances are committed, and no answer comes back.
    by_sql = replace(required(target.race), set_up=(SetUpStatement(sql=ROUTE),))
    with marketplace.service(DATABASE_COMMAND_TIMEOUT="300") as service:
        with marketplace.silent("postgres", "downstream"):
            contest = race(service, rounds=1, of=replace(target, race=by_sql))
    (one,) = contest.judged
    said = {contender.name: contender.said for contender in one.round.contenders}
    assert set(said.values()) <= {Said.NOTHING, Said.REFUSED}
    assert one.winner is not None
    assert said[one.winner] is Said.NOTHING
    assert one.findings == ()


def test_a_query_that_gives_nothing_makes_the_race_unknown(
    marketplace: Marketplace, race: RaceAgainst, target: Target
) -> None:
    sound = required(target.race)
    blind = replace(sound, holders_query=f"{sound.holders_query} AND false")
    with marketplace.service() as service:
        contest = race(service, rounds=3, of=replace(target, race=blind))
    told = report(contest)
    assert win_ratio(contest, None).value is None
    assert race_ratio(contest, None).value is None
    assert "race.holders gives no row" in str(told.doubt)
    assert (told.raced, told.rate_at_most) == (0, None)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("SELECT order_id FROM no_such_table WHERE order_id = ANY(%(rounds)s)", "no_such_table"),
        ("SELECT id FROM orders WHERE id = ANY(%(rounds)s::uuid[])", "two columns"),
        ("SELECT id, 1 FROM orders WHERE id <> ALL(%(rounds)s::uuid[])", "not asked about"),
        ("SELECT id, NULL FROM orders WHERE id = ANY(%(rounds)s::uuid[])", "no contender"),
    ],
)
def test_a_query_that_cannot_be_right_is_an_error(
    marketplace: Marketplace, target: Target, query: str, problem: str
) -> None:
    asked, unasked = str(uuid.uuid4()), str(uuid.uuid4())
    marketplace.rows("INSERT INTO orders (id) VALUES (%s), (%s)", asked, unasked)
    wrong = replace(required(target.race), holders_query=query)
    with pytest.raises(PerfchaosError, match=problem):
        held_by_database(login_of(target), wrong, [asked])


def required(race: Race | None) -> Race:
    assert race is not None
    return race
