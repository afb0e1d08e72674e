"""How names, values and limits of measurements read."""

from collections.abc import Iterable

from perfchaos.figures import amount, as_written
from perfchaos.verdict import Better, Judgement, Limits, Measurement, NotAsked, RaceReport

_NAMES = {
    "error_ratio": "not acknowledged",
    "latency_p99_ms": "latency p99",
    "throughput_per_s": "acknowledged per second",
    "sustained_per_s": "rate sustained",
    "capacity_per_s": "rate at which the promises hold",
    "lost_count": "lost",
    "waiting_count": "acknowledged and waiting",
    "duplicated_count": "took effect twice",
    "phantom_count": "refused, yet took effect",
    "goodput_ratio": "goodput, of baseline",
    "latency_p99_inflation": "latency p99, of baseline",
    "time_to_fallback_s": "time to fallback",
    "queue_backlog_count": "waiting in the queue",
    "time_to_drain_s": "time to drain",
    "stalled_consumer_count": "stalled consumers",
    "group_missing_s": "consumer group missing",
    "queue_use_ratio": "queue used again",
    "first_write_s": "first write again",
    "recovery_time_s": "recovery time",
    "latency_recovery_s": "as fast as before",
    "backlog_drain_s": "backlog drained",
    "success_ratio": "succeeded after",
    "server_time_s": "of it the server's",
    "application_time_s": "of it the application's",
    "abrupt_minus_graceful_s": "crash less restart",
    "healthy_while_failing_s": "healthy while failing",
    "reconnect_peak_count": "reconnects in a second",
    "stuck_count": "stuck sessions",
    "idle_in_transaction_count": "idle in transaction",
    "sessions_left_count": "Postgres sessions left",
    "clients_left_count": "Redis clients left",
    "win_ratio": "exactly one winner",
    "race_ratio": "raced",
    "effective_round_count": "effective rounds",
}


def race_in_words(race: RaceReport) -> str:
    """What a race proved: how many rounds did, what of, and how close together they were."""
    proof = (
        f"{race.effective:,} of {race.rounds:,} rounds had all contenders there at once, "
        f"{race.won:,} of them had exactly one winner, {race.raced:,} rounds prove a race"
    )
    if race.neither:
        listed = ", ".join(f"{kind}: {count:,}" for kind, count in race.neither.items())
        proof += f", replies neither won nor lost: {listed}"
    if race.doubt is not None:
        return f"{proof}; it proves nothing, because {race.doubt}"
    skew = f"last bytes released within {amount(race.skew_p50_us, 'µs')} (p50)"
    if race.skew_p99_us is not None:
        skew += f", {amount(race.skew_p99_us, 'µs')} (p99)"
    if race.raced:
        bound = f"at least {amount(race.rate_at_least, 'ratio')}"
    else:
        bound = f"below {amount(race.rate_at_most, 'ratio')}"
    return f"{proof}: the rate of races is {bound} with 95 % confidence; {skew}"


def name_of(measurement: Measurement) -> str:
    """The measurement's name in words, with its subject."""
    of = f" of {measurement.subject}" if measurement.subject else ""
    return _in_words(measurement.name) + of


def not_asked_in_words(moot: Iterable[NotAsked]) -> list[str]:
    """A line for each reason: `not asked, as target 'acme' has no queue: waiting in the queue`."""
    names: dict[str, list[str]] = {}
    for one in moot:
        names.setdefault(one.why, []).append(_in_words(one.name))
    return [f"not asked, as {why}: {', '.join(named)}" for why, named in names.items()]


def value_of(judgement: Judgement) -> str:
    """The value with its unit, as clear of the limits as it is; a dash where there is none."""
    one, limits = judgement.measurement, judgement.limits
    given = [given for given in (limits.excellent, limits.good, limits.warn) if given is not None]
    return ("≥ " if one.lower_bound else "") + amount(one.value, one.unit, apart_from=given)


def limits_of(limits: Limits, unit: str) -> str:
    """The limits in words: `good at most 1 %, warn at most 20 %`."""
    named = {"excellent": limits.excellent, "good": limits.good, "warn": limits.warn}
    return ", ".join(
        f"{name} {limits.better.value} {as_written(given, unit)}"
        for name, given in named.items()
        if given is not None
    )


def beyond(limits: Limits, unit: str) -> str:
    """What lies beyond the last limit, in words."""
    last = [given for given in (limits.excellent, limits.good, limits.warn) if given is not None]
    side = "above" if limits.better is Better.LOWER else "below"
    return f"critical {side} {as_written(last[-1], unit)}"


def _in_words(name: str) -> str:
    return _NAMES.get(name, name.replace("_", " "))
