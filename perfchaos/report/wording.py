"""How names, values and limits of measurements read."""

from collections.abc import Iterable

from perfchaos.verdict import Better, Limits, Measurement, NotAsked, RaceReport

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


def value_of(measurement: Measurement) -> str:
    """The measurement's value with its unit; a dash where there is none."""
    bound = "≥ " if measurement.lower_bound else ""
    return bound + amount(measurement.value, measurement.unit)


def amount(value: float | None, unit: str) -> str:
    """A number with its unit, with as many digits as tell something."""
    if value is None:
        return "–"
    match unit:
        case "ratio":
            return f"{_percentage(value)} %"
        case "messages" | "consumers":
            return f"{value:,.0f}"
        case "times":
            return f"{_rounded(value)}x"
        case "1/s":
            return f"{_rounded(value)} /s"
        case _:
            return f"{_rounded(value)} {unit}"


def _percentage(ratio: float) -> str:
    """Never 0 for what is not none, and never 100 for what is not all."""
    text, digits = _rounded(ratio * 100), 1
    while 0 < ratio < 1 and float(text.replace(",", "")) in {0.0, 100.0} and digits < 15:
        text, digits = f"{ratio * 100:.{digits}f}", digits + 1
    return text


def limits_of(limits: Limits, unit: str) -> str:
    """The limits in words: `good at most 1 %, warn at most 20 %`."""
    named = {"excellent": limits.excellent, "good": limits.good, "warn": limits.warn}
    return ", ".join(
        f"{name} {limits.better.value} {amount(limit, unit)}"
        for name, limit in named.items()
        if limit is not None
    )


def beyond(limits: Limits, unit: str) -> str:
    """What lies beyond the last limit, in words."""
    last = [limit for limit in (limits.excellent, limits.good, limits.warn) if limit is not None][
        -1
    ]
    side = "above" if limits.better is Better.LOWER else "below"
    return f"critical {side} {amount(last, unit)}"


def _rounded(value: float) -> str:
    """Three significant digits and no trailing zeroes: 0.04, 1.25, 31.5, 1,204."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _in_words(name: str) -> str:
    return _NAMES.get(name, name.replace("_", " "))
