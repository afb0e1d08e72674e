"""The webhook: signed, idempotent, acknowledged when it is safe, done once."""

import json
import uuid

import pytest

from tests.reference.conftest import Marketplace, Service, until


def test_a_signed_message_is_acknowledged_and_takes_effect(
    marketplace: Marketplace, tuned: Service
) -> None:
    message_id, status = tuned.webhook()
    assert status == 202
    until(lambda: marketplace.effects([message_id]) == {message_id: 1})


def test_a_message_sent_again_is_acknowledged_and_takes_effect_once(
    marketplace: Marketplace, tuned: Service
) -> None:
    message_id, _ = tuned.webhook()
    until(lambda: marketplace.effects([message_id]) == {message_id: 1})
    assert tuned.webhook(message_id.upper()) == (message_id.upper(), 202)
    until(lambda: marketplace.backlog() == 0)
    assert marketplace.effects([message_id]) == {message_id: 1}


def test_the_effect_names_the_customer(marketplace: Marketplace, tuned: Service) -> None:
    message_id, _ = tuned.webhook()
    until(lambda: marketplace.effects([message_id]))
    query = "SELECT customer_id FROM order_effects WHERE message_id = %s"
    assert marketplace.rows(query, message_id) == [(1,)]


def test_a_wrong_signature_is_not_let_in(marketplace: Marketplace, tuned: Service) -> None:
    message_id = str(uuid.uuid4())
    body = json.dumps({"message_id": message_id, "from": "+491701", "text": "order"})
    for headers in ({}, {"X-Hub-Signature-256": "sha256=" + "0" * 64}):
        answer = tuned.http.post("/webhooks/whatsapp", content=body, headers=headers)
        assert answer.status_code == 401
    query = "SELECT message_id FROM inbox WHERE message_id = %s"
    assert marketplace.rows(query, message_id) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"message_id": "1", "from": "+491701", "text": "order"}',
        b'{"message_id": "00000000-0000-4000-8000-000000000000", "from": 7, "text": "order"}',
        b'{"message_id": "00000000-0000-4000-8000-000000000000", "from": "+4", "text": "\\u0000"}',
    ],
)
def test_a_malformed_message_is_the_senders_fault(tuned: Service, body: bytes) -> None:
    assert tuned.signed(body).status_code == 400


def test_a_body_may_be_64_kib_and_no_larger(tuned: Service) -> None:
    def sized(size_bytes: int) -> bytes:
        head = b'{"message_id": "%b", "from": "+4", "text": "' % str(uuid.uuid4()).encode()
        return head + b"x" * (size_bytes - len(head) - 2) + b'"}'

    assert tuned.signed(sized(65_536)).status_code == 202
    assert tuned.signed(sized(65_537)).status_code == 413


def test_without_the_queue_the_effect_is_there_with_the_reply(marketplace: Marketplace) -> None:
    with marketplace.service(WEBHOOK_QUEUE_ENABLED="false", CACHE_STRATEGY="memory") as service:
        message_id, status = service.webhook()
        assert status == 202
        assert marketplace.effects([message_id]) == {message_id: 1}
        assert service.webhook(message_id) == (message_id, 202)
        assert marketplace.effects([message_id]) == {message_id: 1}
