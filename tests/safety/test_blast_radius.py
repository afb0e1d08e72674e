"""What is not named is out of bounds, and production always is."""

from dataclasses import replace
from pathlib import Path

import pytest

from perfchaos.errors import InvalidInput
from perfchaos.faults import Reach
from perfchaos.safety import refusals, require_harmable, target_refusals
from perfchaos.safety.blast_radius import allowed, looks_like_production
from perfchaos.target import Redis, Target, Toxiproxy
from perfchaos.workload.plan import RequestTemplate
from tests.lab import BLAST_RADIUS

TARGET = Target(
    path=Path("acme.yaml"),
    name="acme",
    webhook=RequestTemplate(url="http://127.0.0.1:8000/webhook"),
    health_url=None,
    redis=None,
    postgres=None,
    toxiproxy=None,
    race=None,
    ledger_query=None,
    blast_radius=BLAST_RADIUS,
)


@pytest.mark.parametrize(
    ("host", "production"),
    [
        ("db-prod-1.example.com", True),
        ("PROD.example.com", True),
        ("redis.production.internal", True),
        ("prod2", True),
        ("live.example.com", True),
        ("products.example.com", False),
        ("reproduction.example.com", False),
        ("alive.example.com", False),
        ("staging.example.com", False),
        ("127.0.0.1", False),
    ],
)
def test_a_word_of_the_name_says_production(host: str, production: bool) -> None:
    assert looks_like_production(host) is production


@pytest.mark.parametrize(
    ("addresses", "host", "within"),
    [
        (("127.0.0.1",), "127.0.0.1", True),
        (("127.0.0.1",), "127.0.0.2", False),
        (("127.0.0.0/8",), "127.9.9.9", True),
        (("127.0.0.1",), "localhost", True),
        (("::1",), "localhost", True),
        (("10.0.0.0/8",), "localhost", False),
        (("localhost",), "127.0.0.1", False),
        (("fd00::/8",), "[fd00::7]", True),
        (("staging.example.com",), "Staging.Example.com", True),
        (("staging.example.com",), "db.staging.example.com", False),
        (("0.0.0.0/0",), "staging.example.com", False),
        ((), "127.0.0.1", False),
    ],
)
def test_a_host_is_allowed_by_name_address_or_network(
    addresses: tuple[str, ...], host: str, within: bool
) -> None:
    assert allowed(addresses, host) is within


@pytest.mark.parametrize(
    ("reach", "at_most_s", "said"),
    [
        (Reach(proxies=("redis",), hosts=("127.0.0.1",)), 60, None),
        (Reach(proxies=("other",)), 60, "proxy 'other'"),
        (Reach(services=("postgres",)), 60, "service 'postgres'"),
        (Reach(hosts=("10.0.0.1",)), 60, "'10.0.0.1' is not in blast_radius.addresses"),
        (Reach(), 60.5, "longer than"),
        (Reach(), 0, "is none"),
        (Reach(), float("nan"), "is none"),
    ],
)
def test_whatever_is_not_named_is_refused(reach: Reach, at_most_s: float, said: str | None) -> None:
    found = refusals(BLAST_RADIUS, reach, at_most_s=at_most_s)
    assert (said is None) is (found == [])
    assert said is None or said in found[0]


def test_all_refusals_are_told_at_once() -> None:
    reach = Reach(proxies=("a", "b"), services=("c",), hosts=("prod.example.com",))
    assert len(refusals(BLAST_RADIUS, reach, at_most_s=3600)) == 6


def test_production_is_refused_though_it_is_named() -> None:
    radius = replace(BLAST_RADIUS, addresses=("redis.prod.example.com",))
    (said,) = refusals(radius, Reach(hosts=("redis.prod.example.com",)), at_most_s=1)
    assert "looks like production" in said


def test_every_host_of_the_target_is_held_against_its_addresses(state: Path) -> None:
    redis = Redis(
        host="cache.example.com",
        port=6379,
        database=0,
        username=None,
        password_env=None,
        tls=False,
        proxy=None,
        control=None,
        queue=None,
    )
    outside = replace(
        TARGET,
        redis=redis,
        toxiproxy=Toxiproxy(url="http://toxi.prod.example.com:8474", token_env=None, control=None),
    )
    assert target_refusals(TARGET) == []
    assert [refusal.split(":")[0] for refusal in target_refusals(outside)] == [
        "redis.host",
        "toxiproxy.url",
        "toxiproxy.url",
    ]
    require_harmable(TARGET)
    with pytest.raises(InvalidInput, match="run against a test system"):
        require_harmable(outside)
