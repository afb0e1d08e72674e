"""What is not named is out of bounds, and production always is."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perfchaos.errors import InvalidInput, PerfchaosError
from perfchaos.faults import Reach, proxied
from perfchaos.safety import refusals, require_harmable, target_refusals
from perfchaos.safety.blast_radius import allowed, looks_like_production
from perfchaos.target import Handle, Postgres, Redis, Target, Toxiproxy
from perfchaos.workload.plan import RequestTemplate
from tests.fake_api import fake_api
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
        ("proddb", True),
        ("euprod1", True),
        ("euprodwest", True),
        ("eu-prd3", True),
        ("productiondb", True),
        ("livedb", True),
        ("preprod.example.com", False),
        ("nonprod-db", False),
        ("producer-1", False),
        ("olive.example.com", False),
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


def redis_at(host: str, **more: Any) -> Redis:
    return Redis(
        **{
            "host": host,
            "port": 6379,
            "database": 0,
            "username": None,
            "password_env": None,
            "tls": False,
            "proxy": None,
            "control": None,
            "queue": None,
            **more,
        }
    )


POSTGRES = Postgres(
    host="127.0.0.1",
    port=5432,
    database="acme",
    user="acme",
    password_env=None,
    sslmode="prefer",
    proxy=None,
    control=None,
)
IN_A_CONTAINER = redis_at("127.0.0.1", control=Handle(kind="docker", name="redis"))


@pytest.mark.parametrize(
    ("changes", "environment", "where"),
    [
        ({"health_url": "http://health.example.com/"}, {}, "health.url"),
        (
            {"redis": redis_at("127.0.0.1", proxy="redis", upstream="cache.example.com:6379")},
            {},
            "redis.upstream",
        ),
        ({"postgres": POSTGRES}, {"PGHOSTADDR": "127.0.0.1"}, "PGHOSTADDR"),
        ({"postgres": POSTGRES}, {"PGSERVICE": "shop"}, "PGSERVICE"),
        ({}, {"PGHOSTADDR": "10.0.0.1"}, None),
        (
            {"redis": IN_A_CONTAINER},
            {"DOCKER_HOST": "tcp://docker.example.com:2376"},
            "DOCKER_HOST",
        ),
        ({"redis": IN_A_CONTAINER}, {"DOCKER_HOST": "ssh://me@docker.example.com"}, "DOCKER_HOST"),
        ({"redis": IN_A_CONTAINER}, {"DOCKER_HOST": "docker.example.com:2376"}, "DOCKER_HOST"),
        ({"redis": IN_A_CONTAINER}, {"DOCKER_HOST": "tcp://127.0.0.1:2375"}, None),
        ({"redis": IN_A_CONTAINER}, {"DOCKER_HOST": "unix:///var/run/docker.sock"}, None),
        ({}, {"DOCKER_HOST": "tcp://docker.example.com:2376"}, None),
    ],
)
def test_an_address_counts_wherever_it_comes_from(
    changes: dict[str, Any], environment: dict[str, str], where: str | None
) -> None:
    found = target_refusals(replace(TARGET, **changes), environment)
    assert [refusal.split(":")[0] for refusal in found] == ([] if where is None else [where])


@pytest.mark.parametrize(
    ("upstream", "declared", "refused"),
    [
        ("127.0.0.1:6379", None, False),
        ("localhost:6379", None, False),
        ("127.0.0.1:6380", None, True),
        ("127.0.0.2:6379", None, True),
        ("redis.prod.example.com:6379", None, True),
        ("redis:6379", "redis:6379", False),
        ("127.0.0.1:6379", "redis:6379", True),
    ],
)
def test_a_proxy_must_lead_to_the_dependency_it_stands_for(
    state: Path, upstream: str, declared: str | None, refused: bool
) -> None:
    proxy = {"name": "redis", "listen": ":1", "upstream": upstream, "enabled": True, "toxics": []}
    radius = replace(BLAST_RADIUS, addresses=("127.0.0.1", "localhost", "redis"))

    def answer(_: str, path: str) -> tuple[int, str]:
        return 200, json.dumps({"redis": proxy} if path == "/proxies" else proxy)

    with fake_api(answer) as api:
        target = replace(
            TARGET,
            redis=redis_at("127.0.0.1", proxy="redis", upstream=declared),
            toxiproxy=Toxiproxy(url=api.url, token_env=None, control=None),
            blast_radius=radius,
        )
        if refused:
            with pytest.raises(InvalidInput, match="leads to"):
                require_harmable(target)
            with pytest.raises(PerfchaosError, match="leads to"):
                proxied(target, "redis")
        else:
            require_harmable(target)
            assert proxied(target, "redis").proxy == "redis"
