"""
What to do about a measurement, given the band it fell in.

Every band of every test has an action; the findings that break a system also have remedies, each
with the gain to expect of it. The gains are what such changes usually bring, not a promise: the
same experiment, run again, tells what they brought here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from perfchaos.timeline import Fact
from perfchaos.verdict.band import Band


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """
    Advice for one band of one metric.

    `dependency` narrows a rule to runs that harmed it; of the rules that fit, the one with the
    highest `above` that the value exceeds is taken. `naming` are the facts of the measurement's
    evidence that the action is about; those that are there are added to it.
    """

    metric: str
    band: Band
    action: str
    dependency: str | None = None
    above: float | None = None
    naming: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()


_FASTER_WEBHOOK = (
    "add database indexes (+15-25 % RPS)",
    "enlarge the connection pool: DATABASE_POOL_SIZE=30, DATABASE_POOL_MAX=50 (+30-40 % RPS)",
    "cache responses: CACHE_STRATEGY=redis, CACHE_TTL=300 (+20-30 % RPS)",
    "queue the webhooks: WEBHOOK_QUEUE_ENABLED=true, WEBHOOK_BATCH_SIZE=10 (+40-50 % RPS)",
    "all four together: from 100 to 300-500 RPS",
)
_REDIS_FALLBACK = (
    "fall back to a queue in the database when Redis is unavailable",
    (
        "break the circuit: CIRCUIT_BREAKER_ENABLED=true, CIRCUIT_BREAKER_THRESHOLD=5, "
        "CIRCUIT_BREAKER_TIMEOUT=30000 (ms)"
    ),
    "scale the workers to 10",
    "all three together: error ratio below 1 %",
)
_ONE_WINNER = (
    (
        "add a partial unique index on the accepted response of a routing "
        "(a UNIQUE constraint cannot carry a WHERE in PostgreSQL; a unique index can)"
    ),
    "lock the routing before reading it: SELECT ... FOR UPDATE",
    "or run acceptance with DATABASE_TRANSACTION_ISOLATION=SERIALIZABLE and retry on 40001",
    "any of the three: no race conditions",
)
_FASTER_RECOVERY = (
    "warm the pool up: SELECT 1 on half of its connections",
    'check health faster: HEALTH_CHECK_QUERY="SELECT 1", HEALTH_CHECK_TIMEOUT=3000 (ms)',
    "put PgBouncer between: MAX_CLIENT_CONN=1000, DEFAULT_POOL_SIZE=50",
    "all three together: recovery below 10 s",
)

_RULES = (
    *(
        rule
        for metric in ("throughput_per_s", "sustained_per_s", "capacity_per_s")
        for rule in (
            _Rule(metric=metric, band=Band.GOOD, action="monitor only"),
            _Rule(metric=metric, band=Band.WARN, action="optimise the database"),
            _Rule(
                metric=metric,
                band=Band.CRITICAL,
                action="immediate action",
                remedies=_FASTER_WEBHOOK,
            ),
        )
    ),
    _Rule(metric="latency_p99_ms", band=Band.GOOD, action="monitor only"),
    _Rule(metric="latency_p99_ms", band=Band.WARN, action="database bottleneck"),
    _Rule(metric="latency_p99_ms", band=Band.CRITICAL, action="severe bottleneck"),
    _Rule(metric="latency_p99_ms", band=Band.CRITICAL, above=5000, action="queue saturation"),
    _Rule(
        metric="latency_p99_ms",
        dependency="redis",
        band=Band.WARN,
        action="slow fallback: shorten the client's timeout, or break the circuit sooner",
    ),
    _Rule(
        metric="latency_p99_ms",
        dependency="redis",
        band=Band.CRITICAL,
        action="requests wait for Redis: give its client a timeout, and break the circuit",
    ),
    _Rule(metric="error_ratio", band=Band.GOOD, action="monitor only"),
    _Rule(metric="error_ratio", band=Band.WARN, action="investigate"),
    _Rule(metric="error_ratio", band=Band.CRITICAL, action="take action"),
    _Rule(metric="error_ratio", band=Band.CRITICAL, above=0.05, action="system unstable"),
    _Rule(
        metric="error_ratio",
        dependency="redis",
        band=Band.EXCELLENT,
        action="fallback working",
    ),
    _Rule(metric="error_ratio", dependency="redis", band=Band.GOOD, action="fallback working"),
    _Rule(metric="error_ratio", dependency="redis", band=Band.WARN, action="partial fallback"),
    _Rule(
        metric="error_ratio",
        dependency="redis",
        band=Band.CRITICAL,
        action="no fallback",
        remedies=_REDIS_FALLBACK,
    ),
    _Rule(
        metric="error_ratio",
        dependency="redis",
        band=Band.CRITICAL,
        above=0.5,
        action="system unusable",
        remedies=_REDIS_FALLBACK,
    ),
    *(
        _Rule(metric="goodput_ratio", dependency="redis", band=band, action="fallback working")
        for band in (Band.EXCELLENT, Band.GOOD)
    ),
    _Rule(
        metric="goodput_ratio",
        dependency="redis",
        band=Band.WARN,
        action="partial fallback",
        remedies=_REDIS_FALLBACK,
    ),
    _Rule(
        metric="goodput_ratio",
        dependency="redis",
        band=Band.CRITICAL,
        action="no fallback",
        remedies=_REDIS_FALLBACK,
    ),
    *(
        _Rule(
            metric="time_to_fallback_s",
            band=band,
            action=(
                "the fallback comes late: shorten the client's timeouts, and break the circuit "
                "after fewer failures"
            ),
        )
        for band in (Band.WARN, Band.CRITICAL)
    ),
    *(
        _Rule(
            metric="latency_p99_inflation",
            band=band,
            action=(
                "requests wait for the dependency: give its client a timeout well below the "
                "request's own, and a circuit breaker"
            ),
        )
        for band in (Band.WARN, Band.CRITICAL)
    ),
    _Rule(metric="win_ratio", band=Band.GOOD, action="OK"),
    _Rule(metric="win_ratio", band=Band.WARN, action="monitor"),
    _Rule(metric="win_ratio", band=Band.CRITICAL, action="fix constraints", remedies=_ONE_WINNER),
    _Rule(metric="race_ratio", band=Band.GOOD, action="thread-safe"),
    _Rule(metric="race_ratio", band=Band.WARN, action="investigate", remedies=_ONE_WINNER),
    _Rule(
        metric="race_ratio",
        band=Band.CRITICAL,
        action="data integrity risk",
        remedies=_ONE_WINNER,
    ),
    _Rule(metric="queue_backlog_count", band=Band.GOOD, action="OK"),
    _Rule(metric="queue_backlog_count", band=Band.WARN, action="scale workers"),
    _Rule(metric="queue_backlog_count", band=Band.CRITICAL, action="add workers now"),
    _Rule(metric="time_to_drain_s", band=Band.WARN, action="scale workers"),
    _Rule(metric="time_to_drain_s", band=Band.CRITICAL, action="add workers now"),
    _Rule(
        metric="stalled_consumer_count",
        band=Band.CRITICAL,
        action=(
            "connected and consuming nothing, or silent: let consumers ask for new messages again "
            "after every reconnect, and restart those that do not"
        ),
        naming=("stalled", "silent"),
    ),
    *(
        _Rule(
            metric="group_missing_s",
            band=band,
            action=(
                "a Redis that came back empty has no consumer group: create it whenever a read "
                "says NOGROUP, not only when a worker starts"
            ),
            naming=("group",),
        )
        for band in (Band.WARN, Band.CRITICAL)
    ),
    _Rule(
        metric="queue_use_ratio",
        band=Band.WARN,
        action="Redis is used again only in part: try it sooner after it has come back",
    ),
    _Rule(
        metric="queue_use_ratio",
        band=Band.CRITICAL,
        action="Redis is back and still bypassed: see that the circuit breaker closes again",
    ),
    _Rule(metric="recovery_time_s", band=Band.GOOD, action="acceptable"),
    _Rule(metric="recovery_time_s", band=Band.WARN, action="optimise warm-up"),
    _Rule(
        metric="recovery_time_s",
        band=Band.CRITICAL,
        action="add failover",
        remedies=_FASTER_RECOVERY,
    ),
    _Rule(
        metric="application_time_s",
        band=Band.WARN,
        action="optimise warm-up: the application takes longer than its database",
        remedies=_FASTER_RECOVERY,
    ),
    _Rule(
        metric="application_time_s",
        band=Band.CRITICAL,
        action="the application, not its database, is what does not recover",
        remedies=(
            "discard connections that are dead before handing them out",
            "give every wait for a connection and for an answer a timeout, and no long back-off",
            *_FASTER_RECOVERY,
        ),
    ),
    *(
        _Rule(
            metric="server_time_s",
            band=band,
            action=(
                "Postgres itself is slow to come back: bound what it replays after a crash "
                "(checkpoint_timeout, max_wal_size) and what it syncs before "
                "(recovery_init_sync_method), or fail over"
            ),
        )
        for band in (Band.WARN, Band.CRITICAL)
    ),
    *(
        _Rule(
            metric="latency_recovery_s",
            band=band,
            action="succeeds again but slowly: warm the pool and the caches up before taking work",
        )
        for band in (Band.WARN, Band.CRITICAL)
    ),
    *(
        _Rule(
            metric="backlog_drain_s",
            band=band,
            action="what piled up is worked off slowly: scale workers, and shed load meanwhile",
        )
        for band in (Band.WARN, Band.CRITICAL)
    ),
    *(
        _Rule(
            metric="healthy_while_failing_s",
            band=band,
            action="let the health check commit a write, and fail it when one is not committed",
        )
        for band in (Band.WARN, Band.CRITICAL)
    ),
    *(
        _Rule(
            metric="reconnect_peak_count",
            band=band,
            action="all reconnect at once: bound the pool, and spread reconnects by a random delay",
        )
        for band in (Band.WARN, Band.CRITICAL)
    ),
    *(
        _Rule(
            metric=metric,
            band=band,
            action=f"sessions are left behind: set {setting} for the application's user",
        )
        for metric, setting in (
            ("stuck_count", "statement_timeout"),
            ("idle_in_transaction_count", "idle_in_transaction_session_timeout"),
        )
        for band in (Band.WARN, Band.CRITICAL)
    ),
    *(
        _Rule(
            metric=metric,
            band=band,
            action=(
                "connections are left behind, and nobody uses them: close what is given up, and "
                "bound what the pool keeps idle"
            ),
        )
        for metric in ("sessions_left_count", "clients_left_count")
        for band in (Band.WARN, Band.CRITICAL)
    ),
    _Rule(metric="success_ratio", band=Band.EXCELLENT, action="recovered"),
    _Rule(metric="success_ratio", band=Band.GOOD, action="monitor the pool"),
    _Rule(metric="success_ratio", band=Band.CRITICAL, action="connection issue"),
    _Rule(
        metric="lost_count",
        band=Band.CRITICAL,
        action="acknowledged work is gone: store it before acknowledging it",
    ),
    *(
        _Rule(
            metric="waiting_count",
            band=band,
            action=(
                "acknowledged work still waits in the queue: see that workers run, keep up and do "
                "not fail, or give drain_s more seconds"
            ),
        )
        for band in (Band.WARN, Band.CRITICAL)
    ),
    _Rule(
        metric="duplicated_count",
        band=Band.CRITICAL,
        action="work was done more than once: make its effect unique by the message's id",
    ),
    _Rule(
        metric="phantom_count",
        band=Band.CRITICAL,
        action="refused work was done: roll back before refusing, and do not refuse the unknown",
    ),
)


def advise(
    metric: str,
    value: float | None,
    band: Band,
    *,
    dependency: str | None,
    evidence: Mapping[str, Fact] = MappingProxyType({}),
) -> tuple[str, ...]:
    """
    The action that `band` asks for, then the remedies; empty where there is nothing to do.

    `evidence` is the measurement's: whoever the action is about is named in it.
    """
    if band is Band.UNKNOWN:
        why = evidence.get("why")
        return (
            f"not measured: {why}"
            if why
            else "not measured: find out why before trusting this run",
        )
    fitting = [
        rule
        for rule in _RULES
        if rule.metric == metric
        and rule.band is band
        and rule.dependency in (None, dependency)
        and (rule.above is None or (value is not None and value > rule.above))
    ]
    if not fitting:
        return ()
    best = max(fitting, key=lambda rule: (rule.dependency is not None, rule.above or 0.0))
    named = [f"{fact}: {evidence[fact]}" for fact in best.naming if evidence.get(fact)]
    action = f"{best.action} ({', '.join(named)})" if named else best.action
    return (action, *best.remedies)
