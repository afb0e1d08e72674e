"""Only the first vendor may win: told by the replies, the responses and the assignments."""

import uuid
from collections.abc import Iterator

import pytest

from tests.reference.conftest import Marketplace, Service

SOUND = ("unique_index", "for_update", "serializable")
ROUNDS = 15
VENDORS = 8


def violations(marketplace: Marketplace, service: Service, *, rounds: int) -> list[str]:
    """What was wrong with each round that was not won by exactly one."""
    found = []
    for _ in range(rounds):
        order_id = service.route(VENDORS)
        statuses = service.race(order_id, VENDORS)
        assert set(statuses) <= {200, 409, 500}  # 500: no answer in time, on a busy machine.
        told = [vendor_id for vendor_id, status in enumerate(statuses, 1) if status == 200]
        held = marketplace.rows(
            "SELECT vendor_id FROM vendor_responses WHERE order_id = %s AND response = 'accepted'",
            order_id,
        )
        assigned = marketplace.rows(
            "SELECT vendor_id FROM assignments WHERE order_id = %s", order_id
        )
        if not (len(told) == 1 and [(told[0],)] == held == assigned):
            found.append(f"told {told}, held {held}, assigned {assigned}")
    return found


@pytest.fixture(scope="module", params=SOUND)
def sound(marketplace: Marketplace, request: pytest.FixtureRequest) -> Iterator[Service]:
    with marketplace.service(ACCEPTANCE_STRATEGY=request.param) as service:
        yield service


def test_a_sound_strategy_lets_exactly_one_win(marketplace: Marketplace, sound: Service) -> None:
    assert violations(marketplace, sound, rounds=ROUNDS) == []


def test_the_first_wins_and_the_second_learns_who_did(sound: Service) -> None:
    order_id = sound.route(3)
    first, second = sound.accept(order_id, 2), sound.accept(order_id, 3)
    base = {"order_id": order_id, "accepted_by": 2}
    assert (first.status_code, first.json()) == (200, {**base, "vendor_id": 2, "won": True})
    assert (second.status_code, second.json()) == (409, {**base, "vendor_id": 3, "won": False})


def test_a_winner_who_repeats_itself_still_has_the_order_and_one_assignment(
    marketplace: Marketplace, sound: Service
) -> None:
    order_id = sound.route(3)
    assert [sound.accept(order_id, 2).status_code for _ in range(3)] == [200, 200, 200]
    query = "SELECT vendor_id FROM assignments WHERE order_id = %s"
    assert marketplace.rows(query, order_id) == [(2,)]


def test_a_vendor_that_was_not_asked_cannot_accept(sound: Service) -> None:
    assert sound.accept(sound.route(3), 4).status_code == 404
    assert sound.accept(str(uuid.uuid4()), 1).status_code == 404


def test_check_then_act_is_sound_when_its_transactions_are_serializable(
    marketplace: Marketplace,
) -> None:
    with marketplace.service(
        ACCEPTANCE_STRATEGY="check_then_act", DATABASE_TRANSACTION_ISOLATION="SERIALIZABLE"
    ) as service:
        assert violations(marketplace, service, rounds=ROUNDS) == []


def test_check_then_act_lets_several_win(marketplace: Marketplace) -> None:
    with marketplace.service(ACCEPTANCE_STRATEGY="check_then_act") as service:
        assert violations(marketplace, service, rounds=ROUNDS)


@pytest.mark.parametrize(
    "defect",
    [
        "race_no_lock",
        "race_check_then_act",
        "race_lock_released_before_commit",
        "race_redis_lock_expires",
        "race_index_on_wrong_column",
        "race_idempotent_by_vendor",
    ],
)
def test_a_planted_race_is_lost(marketplace: Marketplace, defect: str) -> None:
    with marketplace.service(DEFECTS=defect) as service:
        assert violations(marketplace, service, rounds=ROUNDS)


def test_orders_won_twice_do_not_hinder_the_index(marketplace: Marketplace) -> None:
    with marketplace.service(DEFECTS="race_no_lock") as service:
        order_id = service.route(2)
        assert [service.accept(order_id, vendor).status_code for vendor in (2, 1)] == [200, 200]
    with marketplace.service() as service:
        answer = service.accept(order_id, 1)
        assert (answer.status_code, answer.json()["accepted_by"]) == (409, 2)
