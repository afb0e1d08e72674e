"""Every band of every test has its action, and the findings that break a system their remedies."""

import pytest

from perfchaos.verdict.advice import advise
from perfchaos.verdict.band import Band


@pytest.mark.parametrize(
    ("metric", "value", "band", "dependency", "action"),
    [
        ("throughput_per_s", 700, Band.GOOD, None, "monitor only"),
        ("throughput_per_s", 300, Band.WARN, None, "optimise the database"),
        ("throughput_per_s", 99, Band.CRITICAL, None, "immediate action"),
        ("latency_p99_ms", 400, Band.GOOD, None, "monitor only"),
        ("latency_p99_ms", 900, Band.WARN, None, "database bottleneck"),
        ("latency_p99_ms", 5000, Band.CRITICAL, None, "severe bottleneck"),
        ("latency_p99_ms", 5001, Band.CRITICAL, None, "queue saturation"),
        (
            "latency_p99_ms",
            618,
            Band.WARN,
            "redis",
            "slow fallback: shorten the client's timeout, or break the circuit sooner",
        ),
        ("error_ratio", 0.0005, Band.GOOD, None, "monitor only"),
        ("error_ratio", 0.005, Band.WARN, None, "investigate"),
        ("error_ratio", 0.05, Band.CRITICAL, None, "take action"),
        ("error_ratio", 0.051, Band.CRITICAL, None, "system unstable"),
        ("error_ratio", 0.0, Band.EXCELLENT, "redis", "fallback working"),
        ("error_ratio", 0.1, Band.WARN, "redis", "partial fallback"),
        ("error_ratio", 0.5, Band.CRITICAL, "redis", "no fallback"),
        ("error_ratio", 0.51, Band.CRITICAL, "redis", "system unusable"),
        ("win_ratio", 0.97, Band.WARN, None, "monitor"),
        ("win_ratio", 0.9, Band.CRITICAL, None, "fix constraints"),
        ("race_ratio", 0.0, Band.GOOD, None, "thread-safe"),
        ("race_ratio", 0.02, Band.CRITICAL, None, "data integrity risk"),
        ("queue_backlog_count", 50, Band.GOOD, None, "OK"),
        ("queue_backlog_count", 500, Band.WARN, None, "scale workers"),
        ("queue_backlog_count", 5000, Band.CRITICAL, None, "add workers now"),
        ("goodput_ratio", 1.0, Band.EXCELLENT, "redis", "fallback working"),
        ("goodput_ratio", 0.96, Band.GOOD, "redis", "fallback working"),
        ("goodput_ratio", 0.85, Band.WARN, "redis", "partial fallback"),
        ("goodput_ratio", 0.5, Band.CRITICAL, "redis", "no fallback"),
        ("time_to_drain_s", 20, Band.WARN, None, "scale workers"),
        ("time_to_drain_s", 40, Band.CRITICAL, None, "add workers now"),
        ("recovery_time_s", 7, Band.GOOD, None, "acceptable"),
        ("recovery_time_s", 20, Band.WARN, None, "optimise warm-up"),
        ("recovery_time_s", 40, Band.CRITICAL, None, "add failover"),
        ("success_ratio", 0.995, Band.EXCELLENT, None, "recovered"),
        ("success_ratio", 0.96, Band.GOOD, None, "monitor the pool"),
        ("success_ratio", 0.9, Band.CRITICAL, None, "connection issue"),
    ],
)
def test_every_band_has_its_action(
    metric: str, value: float, band: Band, dependency: str | None, action: str
) -> None:
    assert advise(metric, value, band, dependency=dependency)[0] == action


@pytest.mark.parametrize(
    ("metric", "value", "dependency", "remedy"),
    [
        ("throughput_per_s", 50, None, "DATABASE_POOL_SIZE=30, DATABASE_POOL_MAX=50"),
        ("throughput_per_s", 50, None, "WEBHOOK_QUEUE_ENABLED=true, WEBHOOK_BATCH_SIZE=10"),
        ("race_ratio", 0.5, None, "partial unique index"),
        ("error_ratio", 0.9, "redis", "CIRCUIT_BREAKER_TIMEOUT=30000 (ms)"),
        ("recovery_time_s", 60, None, "MAX_CLIENT_CONN=1000, DEFAULT_POOL_SIZE=50"),
    ],
)
def test_what_breaks_a_system_has_remedies(
    metric: str, value: float, dependency: str | None, remedy: str
) -> None:
    told = advise(metric, value, Band.CRITICAL, dependency=dependency)
    assert any(remedy in line for line in told)


def test_advice_names_whom_it_is_about() -> None:
    evidence = {"stalled": "worker-0, worker-1", "silent": ""}
    told = advise("stalled_consumer_count", 2, Band.CRITICAL, dependency=None, evidence=evidence)
    assert told[0].endswith("(stalled: worker-0, worker-1)")
    unnamed = advise("stalled_consumer_count", 2, Band.CRITICAL, dependency=None)
    assert "stalled:" not in unnamed[0]


def test_the_unknown_asks_to_be_looked_into() -> None:
    assert "not measured" in advise("error_ratio", None, Band.UNKNOWN, dependency=None)[0]


def test_a_metric_nobody_knows_has_no_advice() -> None:
    assert advise("phase of the moon", 1, Band.CRITICAL, dependency=None) == ()
