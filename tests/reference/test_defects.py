"""Each planted defect shows, in what it is a defect of; `test_acceptance` has those of the race."""

import httpx
import pytest

from tests.reference.conftest import Marketplace, until


def test_no_fallback_refuses_what_redis_does_not_take(marketplace: Marketplace) -> None:
    with marketplace.service(DEFECTS="no_fallback") as service, marketplace.worker():
        message_id, status = service.webhook()
        assert status == 202
        until(lambda: marketplace.effects([message_id]) == {message_id: 1})
        with marketplace.refusing("redis"):
            assert {service.webhook()[1] for _ in range(5)} == {503}


def test_a_fallback_that_acknowledges_from_memory_loses(marketplace: Marketplace) -> None:
    with marketplace.service(DEFECTS="fallback_acks_before_storing") as service:
        with marketplace.refusing("redis"):
            sent = [service.webhook() for _ in range(120)]
        assert {status for _, status in sent} == {202}
        until(lambda: service.health()["redis"] == "ok")
        assert service.webhook()[1] == 202
    ids = [message_id for message_id, _ in sent]
    stored = marketplace.rows(
        "SELECT message_id FROM inbox WHERE message_id = ANY(%s::uuid[])", ids
    )
    assert len(stored) == 100


def test_a_fallback_that_replays_twice_doubles(marketplace: Marketplace) -> None:
    with (
        marketplace.service() as service,
        marketplace.worker(DEFECTS="fallback_replays_twice"),
        marketplace.refusing("redis"),
    ):
        message_id, _ = service.webhook()
        until(lambda: marketplace.effects([message_id]) == {message_id: 2})


def test_a_worker_that_stalls_lets_the_queue_grow(marketplace: Marketplace) -> None:
    with (
        marketplace.service() as service,
        marketplace.worker(DEFECTS="worker_stalls_after_reconnect"),
    ):
        until(lambda: marketplace.effects([service.webhook()[0]]))
        with marketplace.refusing("redis"):
            service.webhook()
        until(lambda: service.health()["redis"] == "ok")
        message_ids = [service.webhook()[0] for _ in range(10)]
        # The sweep saves the messages, and nobody takes them from the queue.
        until(lambda: len(marketplace.effects(message_ids)) == 10)
        assert marketplace.backlog() >= 10
    with marketplace.worker():
        until(lambda: marketplace.backlog() == 0)


def test_a_redis_without_timeout_is_waited_for(marketplace: Marketplace) -> None:
    with marketplace.service(DEFECTS="redis_without_timeout") as service:
        # The tuned service answers after a fifth of a second.
        service.http.timeout = httpx.Timeout(2.0)
        with marketplace.silent("redis", "downstream"), pytest.raises(httpx.ReadTimeout):
            service.webhook()


def test_a_breaker_that_never_closes_bypasses_a_redis_that_is_back(
    marketplace: Marketplace,
) -> None:
    with marketplace.service(
        DEFECTS="breaker_never_closes", CIRCUIT_BREAKER_TIMEOUT="10"
    ) as service:
        with marketplace.refusing("redis"):
            for _ in range(10):
                service.webhook()
        backlog = marketplace.backlog()
        for _ in range(50):
            assert service.webhook()[1] == 202
            assert service.health()["redis"] == "bypassed"
        assert marketplace.backlog() == backlog


def test_an_acknowledgement_before_the_commit_is_lost_with_postgres(
    marketplace: Marketplace,
) -> None:
    with marketplace.service(DEFECTS="ack_before_commit") as service:
        with marketplace.silent("postgres", "upstream"):
            message_id, status = service.webhook()
            assert status == 202
            until(lambda: service.http.get("/health").status_code == 503)
        until(lambda: service.http.get("/health").status_code == 200)
        assert service.webhook()[1] == 202
    assert marketplace.rows("SELECT message_id FROM inbox WHERE message_id = %s", message_id) == []


@pytest.mark.parametrize(("defect", "setting"), [("", "on"), ("synchronous_commit_off", "off")])
def test_the_commit_waits_for_the_disk_unless_planted(
    marketplace: Marketplace, defect: str, setting: str
) -> None:
    # A health query that divides by zero under any other setting.
    query = f"SELECT 1 / (current_setting('synchronous_commit') = '{setting}')::int"
    with marketplace.service(DEFECTS=defect, HEALTH_CHECK_QUERY=query) as service:
        assert service.health()["database"] == "ok"


def test_a_pool_that_keeps_dead_connections_does_not_recover(marketplace: Marketplace) -> None:
    with marketplace.service(DEFECTS="pool_keeps_dead_connections") as service:
        with marketplace.refusing("postgres"):
            until(lambda: service.http.get("/health").status_code == 503)
        for _ in range(20):
            assert service.webhook()[1] in {500, 503}


def test_a_cold_pool_works_long_after_an_outage(marketplace: Marketplace) -> None:
    first_queries = (
        "SELECT pid FROM pg_stat_activity"
        " WHERE state = 'active' AND query LIKE '%%md5%%' AND pid <> pg_backend_pid()"
    )
    with marketplace.service(DEFECTS="cold_pool") as service:
        assert marketplace.rows(first_queries) == []
        with marketplace.refusing("postgres"):
            until(lambda: service.http.get("/health").status_code == 503)
        until(lambda: marketplace.rows(first_queries))


def test_a_self_assured_service_finds_itself_well(marketplace: Marketplace) -> None:
    with marketplace.service(DEFECTS="healthy_while_writes_fail") as service:
        with marketplace.refusing("postgres"):
            until(lambda: service.webhook()[1] in {500, 503})
            assert service.http.get("/health").status_code == 200
