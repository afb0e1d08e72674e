"""Races against the reference system, and against servers that behave as a test tells them."""

import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from perfchaos.postgres_client import Login
from perfchaos.race.contest import Contest
from perfchaos.race.plan import RacePlan
from perfchaos.race.rounds import Round, RoundRecording
from perfchaos.race.running import Racing
from perfchaos.race.settling import settle
from perfchaos.run.settings import RaceSettings
from perfchaos.stack.ports import HOST
from perfchaos.target import Race, SetUpRequest, Target
from perfchaos.target.loading import load_target
from perfchaos.workload.plan import RequestTemplate
from perfchaos.workload.process import start_workload
from tests.reference.conftest import Marketplace, Service, marketplace
from tests.workload.conftest import serve, unused_port

__all__ = ["marketplace", "serve", "unused_port"]

NO_DATABASE = Login(
    host="127.0.0.1",
    port=1,
    database="none",
    user="nobody",
    password_env=None,
    sslmode="disable",
    target_file="none",
)


def race_for(url: str, **changes: object) -> Race:
    """A race for things that need no set-up; nobody can be asked who holds them."""
    fields: dict[str, object] = {
        "set_up": (),
        "compete": RequestTemplate(
            url=f"{url}things/{{uuid}}",
            body='{"by": {contender}}',
            acknowledged=(200, 409),
            timeout_s=5.0,
        ),
        "won": (200,),
        "lost": (409,),
        "round_field": "uuid",
        "contender_field": "contender",
        "holders_query": "SELECT %(rounds)s",
        "effects_query": "SELECT %(rounds)s",
    }
    return Race(**fields | changes)  # type: ignore[arg-type]


def plan_for(race: Race, **changes: object) -> RacePlan:
    """Three contenders in one round."""
    fields: dict[str, object] = {
        "race": race,
        "database": NO_DATABASE,
        "contenders": 3,
        "rounds": 1,
        "seed": 7,
    }
    plan = RacePlan(**fields | changes)  # type: ignore[arg-type]
    assert plan.mistakes() == []
    return plan


Run = Callable[..., list[Round]]


@pytest.fixture
def run() -> Run:
    """Runs the rounds of a plan in this process."""

    def rounds_of(plan: RacePlan) -> list[Round]:
        racing = Racing(plan)
        try:
            return [racing.run(number) for number in range(plan.rounds or 1)]
        finally:
            racing.close()

    return rounds_of


@pytest.fixture(scope="session")
def target(marketplace: Marketplace) -> Target:
    """The target file of the reference system."""
    return load_target(marketplace.home / "target.yaml")


def at(service: Service, target: Target) -> Target:
    """`target` with the race at the port of this service: every service has its own."""
    assert target.race is not None

    def moved(request: RequestTemplate) -> RequestTemplate:
        parts = urlsplit(request.url)
        return replace(request, url=parts._replace(netloc=f"{HOST}:{service.port}").geturl())

    set_up = tuple(
        replace(step, request=moved(step.request)) if isinstance(step, SetUpRequest) else step
        for step in target.race.set_up
    )
    race = replace(target.race, set_up=set_up, compete=moved(target.race.compete))
    return replace(target, race=race)


RaceAgainst = Callable[..., Contest]


@pytest.fixture
def race(target: Target, tmp_path: Path) -> RaceAgainst:
    """Races against the reference system that is up, in the race process, and judges the rounds."""

    def raced(
        service: Service, *, rounds: int = 20, of: Target = target, **settings: int
    ) -> Contest:
        of = at(service, of)
        chosen = RaceSettings(kind="vendor_race", rounds=rounds, **settings)  # type: ignore[arg-type]
        assert chosen.mistakes() == []
        folder = tmp_path / str(time.monotonic_ns())
        recording = RoundRecording(folder / "rounds.jsonl")
        with start_workload(chosen.plan(of, seed=secrets.randbits(60)), folder) as workload:
            workload.wait_ready()
            deadline_s = time.monotonic() + 60
            while len(recording.rounds()) < rounds:
                assert workload.alive
                assert time.monotonic() < deadline_s
                time.sleep(0.02)
        done = recording.rounds()
        judged = settle(of, done, drain_s=0.5, wait=time.sleep)
        return Contest(rounds=done, judged=judged)

    return raced
