"""While Postgres is away messages are refused for certain, and afterwards nothing is missing."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from perfchaos.stack.postgres_server import USER
from tests.reference.conftest import Marketplace, Service, until

OUTAGES: dict[str, Callable[[Marketplace], contextlib.AbstractContextManager[None]]] = {
    "restarted": lambda market: market.stopped("postgres"),
    "crashed": lambda market: market.killed("postgres"),
    "refusing": lambda market: market.refusing("postgres"),
    "silent": lambda market: market.silent("postgres", "downstream"),
}


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES.keys())
def test_what_was_acknowledged_is_there_and_what_was_refused_is_not(
    marketplace: Marketplace,
    tuned: Service,
    outage: Callable[[Marketplace], contextlib.AbstractContextManager[None]],
) -> None:
    sent = [tuned.webhook() for _ in range(20)]
    with outage(marketplace):
        sent_into_it = tuned.webhook()[1]
        assert sent_into_it in {500, 503}
        until(lambda: tuned.http.get("/health").status_code == 503)
        refused, statuses = zip(*_send(tuned, 10), strict=True)
        assert set(statuses) == {503}
    until(lambda: tuned.http.get("/health").status_code == 200)
    sent += _send(tuned, 20)
    assert {status for _, status in sent} == {202}
    acknowledged = [message_id for message_id, _ in sent]
    until(lambda: len(marketplace.effects(acknowledged)) == 40)
    assert set(marketplace.effects(acknowledged).values()) == {1}
    assert marketplace.effects(list(refused)) == {}


def _send(service: Service, count: int) -> list[tuple[str, int]]:
    return [service.webhook() for _ in range(count)]


def test_a_database_that_only_reads_is_not_healthy(marketplace: Marketplace) -> None:
    with marketplace.service() as service, _read_only(marketplace):
        until(lambda: service.http.get("/health").status_code == 503)
        message_id, status = service.webhook()
        assert status == 503
        assert service.health()["sqlstate"] == "25006"  # read_only_sql_transaction
        query = "SELECT message_id FROM inbox WHERE message_id = %s"
        assert marketplace.rows(query, message_id) == []


@contextlib.contextmanager
def _read_only(marketplace: Marketplace) -> Iterator[None]:
    marketplace.rows(f"ALTER ROLE {USER} SET default_transaction_read_only = on")
    _disconnect_all(marketplace)
    try:
        yield
    finally:
        marketplace.rows(f"ALTER ROLE {USER} RESET default_transaction_read_only")
        _disconnect_all(marketplace)


def _disconnect_all(marketplace: Marketplace) -> None:
    marketplace.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE usename = current_user AND pid <> pg_backend_pid()"
    )
