"""The environment gives the settings, or a list of all that is wrong with it."""

import pytest

from perfchaos.errors import InvalidInput
from perfchaos.reference.profiles import TUNED, UNTUNED
from perfchaos.reference.settings import (
    AcceptanceStrategy,
    CacheStrategy,
    Defect,
    Isolation,
    read_settings,
)

SECRET = {"WEBHOOK_SECRET": "s"}


def test_what_is_not_set_is_tuned() -> None:
    assert read_settings(SECRET) == read_settings({**TUNED, **SECRET})


def test_profiles_name_the_same_variables() -> None:
    assert TUNED.keys() == UNTUNED.keys()


def test_untuned_profile_is_read() -> None:
    settings = read_settings({**UNTUNED, **SECRET})
    assert not settings.webhook.queue_enabled
    assert settings.acceptance is AcceptanceStrategy.CHECK_THEN_ACT
    assert settings.redis.cache is CacheStrategy.NONE


def test_no_defect_is_planted_by_either_profile() -> None:
    assert not read_settings({**TUNED, **SECRET}).defects
    assert not read_settings({**UNTUNED, **SECRET}).defects


def test_times_are_given_in_milliseconds_and_zero_is_no_limit() -> None:
    assert read_settings({**SECRET, "REDIS_TIMEOUT": "250"}).redis.timeout_s == 0.25
    assert read_settings({**SECRET, "REDIS_TIMEOUT": "0"}).redis.timeout_s is None


def test_serializable_acceptance_brings_its_isolation_along() -> None:
    settings = read_settings({**SECRET, "ACCEPTANCE_STRATEGY": "serializable"})
    assert settings.postgres.isolation is Isolation.SERIALIZABLE


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        read_settings({"DATABASE_POOL_SIZE": "many", "CACHE_STRATEGY": "disk", "DEFECTS": "all"})
    named = " ".join(caught.value.mistakes)
    for variable in ("WEBHOOK_SECRET", "DATABASE_POOL_SIZE", "CACHE_STRATEGY", "DEFECTS"):
        assert variable in named


@pytest.mark.parametrize(
    ("variable", "good", "bad"),
    [
        ("DATABASE_POOL_SIZE", "1", "0"),
        ("SERVICE_PORT", "65535", "65536"),
        ("DATABASE_POOL_MAX", "30", "29"),
        ("CIRCUIT_BREAKER_ENABLED", "off", "perhaps"),
        ("WEBHOOK_BATCH_SIZE", "10", "-1"),
        ("HEALTH_CHECK_QUERY", "SELECT 1", ""),
    ],
)
def test_limits_of_a_value(variable: str, good: str, bad: str) -> None:
    read_settings({**SECRET, variable: good})
    with pytest.raises(InvalidInput, match=variable):
        read_settings({**SECRET, variable: bad})


def test_values_are_not_repeated_in_errors() -> None:
    with pytest.raises(InvalidInput) as caught:
        read_settings({"WEBHOOK_SECRET": "", "PGPORT": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_secrets_are_not_shown() -> None:
    secrets = {"WEBHOOK_SECRET": "hunter1", "PGPASSWORD": "hunter2", "REDIS_PASSWORD": "hunter3"}
    assert "hunter" not in repr(read_settings(secrets))


def test_several_defects_may_be_planted() -> None:
    settings = read_settings({**SECRET, "DEFECTS": "cold_pool, race_no_lock"})
    assert settings.defects == {Defect.COLD_POOL, Defect.RACE_NO_LOCK}
