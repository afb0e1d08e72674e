"""What the environment says: where Postgres and Redis are, the secrets, and the tunings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from perfchaos.errors import InvalidInput
from perfchaos.reference.profiles import TUNED

_PLACES: Mapping[str, str] = {
    "SERVICE_HOST": "127.0.0.1",
    "SERVICE_PORT": "8000",
    "PGHOST": "127.0.0.1",
    "PGPORT": "5432",
    "PGDATABASE": "orders",
    "PGUSER": "orders",
    "PGPASSWORD": "",
    "REDIS_HOST": "127.0.0.1",
    "REDIS_PORT": "6379",
    "REDIS_PASSWORD": "",
}
_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})


class Isolation(StrEnum):
    READ_COMMITTED = "READ COMMITTED"
    REPEATABLE_READ = "REPEATABLE READ"
    SERIALIZABLE = "SERIALIZABLE"


class CacheStrategy(StrEnum):
    NONE = "none"
    MEMORY = "memory"
    REDIS = "redis"


class AcceptanceStrategy(StrEnum):
    UNIQUE_INDEX = "unique_index"
    FOR_UPDATE = "for_update"
    SERIALIZABLE = "serializable"
    CHECK_THEN_ACT = "check_then_act"


class Defect(StrEnum):
    """The defects that `perfchaos.reference.defects` can plant, and describes."""

    NO_FALLBACK = "no_fallback"
    FALLBACK_ACKS_BEFORE_STORING = "fallback_acks_before_storing"
    FALLBACK_REPLAYS_TWICE = "fallback_replays_twice"
    WORKER_STALLS_AFTER_RECONNECT = "worker_stalls_after_reconnect"
    REDIS_WITHOUT_TIMEOUT = "redis_without_timeout"
    BREAKER_NEVER_CLOSES = "breaker_never_closes"
    ACK_BEFORE_COMMIT = "ack_before_commit"
    SYNCHRONOUS_COMMIT_OFF = "synchronous_commit_off"
    POOL_KEEPS_DEAD_CONNECTIONS = "pool_keeps_dead_connections"
    COLD_POOL = "cold_pool"
    HEALTHY_WHILE_WRITES_FAIL = "healthy_while_writes_fail"
    RACE_NO_LOCK = "race_no_lock"
    RACE_CHECK_THEN_ACT = "race_check_then_act"
    RACE_LOCK_RELEASED_BEFORE_COMMIT = "race_lock_released_before_commit"
    RACE_REDIS_LOCK_EXPIRES = "race_redis_lock_expires"
    RACE_INDEX_ON_WRONG_COLUMN = "race_index_on_wrong_column"
    RACE_IDEMPOTENT_BY_VENDOR = "race_idempotent_by_vendor"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresSettings:
    """A limit of None is no limit."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    pool_size: int
    pool_max: int
    pool_warm_up: bool
    pool_check: bool
    pool_timeout_s: float | None
    reconnect_timeout_s: float | None
    command_timeout_s: float | None
    isolation: Isolation
    indexes: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSettings:
    host: str
    port: int
    password: str = field(repr=False)
    timeout_s: float | None
    breaker_enabled: bool
    breaker_threshold: int
    breaker_timeout_s: float
    cache: CacheStrategy
    cache_ttl_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    secret: bytes = field(repr=False)
    queue_enabled: bool
    batch_size: int
    writers: int
    waiting_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSettings:
    query: str
    timeout_s: float | None
    interval_s: float
    passes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    name: str
    concurrency: int
    batch_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    service_host: str
    service_port: int
    postgres: PostgresSettings
    redis: RedisSettings
    webhook: WebhookSettings
    health: HealthSettings
    worker: WorkerSettings
    acceptance: AcceptanceStrategy
    defects: frozenset[Defect]


def read_settings(environment: Mapping[str, str]) -> Settings:
    """
    The settings that `environment` gives.

    Raises InvalidInput, with every mistake in it at once. No value is repeated in a message: a
    secret may have strayed into the wrong variable.
    """
    read = _Reader({**_PLACES, **TUNED, **environment})
    acceptance = read.one_of("ACCEPTANCE_STRATEGY", AcceptanceStrategy)
    isolation = read.one_of("DATABASE_TRANSACTION_ISOLATION", Isolation)
    settings = Settings(
        service_host=read.text("SERVICE_HOST"),
        service_port=read.number("SERVICE_PORT", most=65535),
        postgres=_postgres(
            read,
            Isolation.SERIALIZABLE if acceptance is AcceptanceStrategy.SERIALIZABLE else isolation,
        ),
        redis=RedisSettings(
            host=read.text("REDIS_HOST"),
            port=read.number("REDIS_PORT", least=1, most=65535),
            password=read.optional_text("REDIS_PASSWORD"),
            timeout_s=read.limit_s("REDIS_TIMEOUT"),
            breaker_enabled=read.flag("CIRCUIT_BREAKER_ENABLED"),
            breaker_threshold=read.number("CIRCUIT_BREAKER_THRESHOLD", least=1),
            breaker_timeout_s=read.number("CIRCUIT_BREAKER_TIMEOUT", least=1) / 1000,
            cache=read.one_of("CACHE_STRATEGY", CacheStrategy),
            cache_ttl_s=read.number("CACHE_TTL", least=1),
        ),
        webhook=WebhookSettings(
            secret=read.text("WEBHOOK_SECRET").encode(),
            queue_enabled=read.flag("WEBHOOK_QUEUE_ENABLED"),
            batch_size=read.number("WEBHOOK_BATCH_SIZE", least=1),
            writers=read.number("WEBHOOK_WRITERS", least=1),
            waiting_max=read.number("WEBHOOK_WAITING_MAX", least=1),
        ),
        health=HealthSettings(
            query=read.text("HEALTH_CHECK_QUERY"),
            timeout_s=read.limit_s("HEALTH_CHECK_TIMEOUT"),
            interval_s=read.number("HEALTH_CHECK_INTERVAL", least=1) / 1000,
            passes=read.number("HEALTH_CHECK_PASSES", least=1),
        ),
        worker=WorkerSettings(
            name=read.text("WORKER_NAME"),
            concurrency=read.number("WORKER_CONCURRENCY", least=1),
            batch_size=read.number("WORKER_BATCH_SIZE", least=1),
        ),
        acceptance=acceptance,
        defects=read.some_of("DEFECTS", Defect),
    )
    if read.mistakes:
        raise InvalidInput(
            "the environment of the order service",
            read.mistakes,
            next_step="perfchaos/reference/profiles.py names every variable and its values",
        )
    return settings


def _postgres(read: "_Reader", isolation: Isolation) -> PostgresSettings:
    settings = PostgresSettings(
        host=read.text("PGHOST"),
        port=read.number("PGPORT", least=1, most=65535),
        database=read.text("PGDATABASE"),
        user=read.text("PGUSER"),
        password=read.optional_text("PGPASSWORD"),
        pool_size=read.number("DATABASE_POOL_SIZE", least=1),
        pool_max=read.number("DATABASE_POOL_MAX", least=1),
        pool_warm_up=read.flag("DATABASE_POOL_WARM_UP"),
        pool_check=read.flag("DATABASE_POOL_CHECK"),
        pool_timeout_s=read.limit_s("DATABASE_POOL_TIMEOUT"),
        reconnect_timeout_s=read.limit_s("DATABASE_RECONNECT_TIMEOUT"),
        command_timeout_s=read.limit_s("DATABASE_COMMAND_TIMEOUT"),
        isolation=isolation,
        indexes=read.flag("DATABASE_INDEXES"),
    )
    if settings.pool_max < settings.pool_size:
        read.mistakes.append("DATABASE_POOL_MAX is less than DATABASE_POOL_SIZE")
    return settings


class _Reader:
    """Reads variables one by one and remembers what is wrong with them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.mistakes: list[str] = []

    def text(self, name: str) -> str:
        value = self.optional_text(name)
        if not value:
            self.mistakes.append(f"{name} is empty")
        return value

    def optional_text(self, name: str) -> str:
        return self._environment.get(name, "").strip()

    def number(self, name: str, *, least: int = 0, most: int = 2**31 - 1) -> int:
        value = self.optional_text(name)
        if not (value.isascii() and value.isdecimal() and least <= int(value) <= most):
            self.mistakes.append(f"{name} must be a whole number from {least} to {most}")
            return least
        return int(value)

    def limit_s(self, name: str) -> float | None:
        """A time given in milliseconds, in seconds; 0 is no limit."""
        return self.number(name) / 1000 or None

    def flag(self, name: str) -> bool:
        value = self.optional_text(name).lower()
        if value not in _TRUE | _FALSE:
            self.mistakes.append(f"{name} must be true or false")
        return value in _TRUE

    def one_of[Choice: StrEnum](self, name: str, choices: type[Choice]) -> Choice:
        value = self.optional_text(name)
        if value in choices:
            return choices(value)
        self.mistakes.append(f"{name} must be one of {', '.join(choices)}")
        return next(iter(choices))

    def some_of[Choice: StrEnum](self, name: str, choices: type[Choice]) -> frozenset[Choice]:
        values = [value.strip() for value in self.optional_text(name).split(",") if value.strip()]
        if any(value not in choices for value in values):
            self.mistakes.append(f"{name} may hold {', '.join(choices)}")
            return frozenset()
        return frozenset(choices(value) for value in values)
