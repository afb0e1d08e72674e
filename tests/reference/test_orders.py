"""Orders are created and routed in one call, and can be looked at."""

import uuid

import pytest

from tests.reference.conftest import Service


def test_an_order_is_routed_to_the_first_vendors(tuned: Service) -> None:
    answer = tuned.http.post("/orders", json={"vendors": 3})
    order = answer.json()
    assert answer.status_code == 201
    assert order["vendor_ids"] == [1, 2, 3]
    assert tuned.http.get(f"/orders/{order['order_id']}").json() == order


def test_an_order_is_routed_to_named_vendors(tuned: Service) -> None:
    answer = tuned.http.post("/orders", json={"vendor_ids": [9, 4, 9]})
    assert answer.json()["vendor_ids"] == [4, 9]


def test_an_order_that_exists_is_left_as_it_is(tuned: Service) -> None:
    order_id = str(uuid.uuid4())
    first = tuned.http.post("/orders", json={"order_id": order_id, "vendors": 2})
    again = tuned.http.post("/orders", json={"order_id": order_id, "vendors": 5})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()


def test_an_accepted_order_says_by_whom(tuned: Service) -> None:
    order_id = tuned.route(2)
    tuned.accept(order_id, 2)
    order = tuned.http.get(f"/orders/{order_id}").json()
    assert (order["status"], order["accepted_by"]) == ("accepted", 2)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"vendors": 0},
        {"vendors": 1001},
        {"vendors": True},
        {"vendor_ids": []},
        {"vendor_ids": ["1"]},
        {"vendor_ids": [1001]},
        {"vendors": 1, "order_id": "1"},
    ],
)
def test_a_malformed_order_is_the_callers_fault(tuned: Service, content: dict[str, object]) -> None:
    assert tuned.http.post("/orders", json=content).status_code == 400


def test_an_order_can_be_routed_to_as_many_vendors_as_there_are(tuned: Service) -> None:
    assert len(tuned.http.post("/orders", json={"vendors": 1000}).json()["vendor_ids"]) == 1000


def test_there_is_no_such_order(tuned: Service) -> None:
    assert tuned.http.get(f"/orders/{uuid.uuid4()}").status_code == 404
    assert tuned.http.get("/orders/1").status_code == 400
