"""
Whether the generator kept up: pure judgement over its own report.

A generator that falls behind measures itself. Its run is then invalid, not slow.
"""

from dataclasses import dataclass

from perfchaos.workload.tally import Tally, held_up

_CPU_JUDGED_FROM_S = 1.0  # A shorter load is mostly its own beginning.


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthLimits:
    """What is still a sound generator; equality is sound."""

    lag_p50_ms: float = 5.0
    lag_p99_ms: float = 50.0
    cpu_ratio: float = 0.95
    held_up_ratio: float = 0.01


def unsound(tally: Tally | None, *, limits: HealthLimits = HealthLimits()) -> tuple[str, ...]:
    """
    Why the measurements of an open-loop workload prove nothing; empty when it was sound.

    No report at all, or no request, is unsound too.
    """
    if tally is None:
        return ("the workload process died without a report",)
    if not tally.planned_count or tally.lag_p50_ms is None or tally.lag_p99_ms is None:
        return ("the workload planned no request",)
    reasons = [*late(tally.lag_p50_ms, tally.lag_p99_ms, limits=limits)]
    if tally.elapsed_s >= _CPU_JUDGED_FROM_S and tally.cpu_ratio > limits.cpu_ratio:
        reasons.append(
            f"the generator used {tally.cpu_ratio:.0%} of a core (limit {limits.cpu_ratio:.0%}):"
            " give it more processes"
        )
    if (
        held_up(tally.held_up_count, tally.parted_count)
        and tally.held_up_count > limits.held_up_ratio * tally.planned_count
    ):
        reasons.append(
            f"{tally.held_up_count} replies waited for idle connections of the generator: the"
            " target waits on a silent connection; set connections.keep_alive to false"
        )
    if tally.own_limit_count:
        reasons.append(
            f"{tally.own_limit_count} requests found no descriptor, port or memory on the"
            " generator's machine"
        )
    return tuple(reasons)


def late(
    lag_p50_ms: float, lag_p99_ms: float, *, limits: HealthLimits = HealthLimits()
) -> tuple[str, ...]:
    """In what way a generator with these lags was late; empty when it was punctual."""
    return tuple(
        f"{share} of the requests were turned to {lag_ms:.1f} ms late or later"
        f" (limit {limit_ms:g} ms)"
        for share, lag_ms, limit_ms in (
            ("half", lag_p50_ms, limits.lag_p50_ms),
            ("1 %", lag_p99_ms, limits.lag_p99_ms),
        )
        if lag_ms > limit_ms
    )
