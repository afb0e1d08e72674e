import dataclasses

import pytest

from perfchaos.workload.health import unsound
from perfchaos.workload.tally import Tally

SOUND = Tally(
    planned_count=1000, acked_count=1000, refused_count=0, indeterminate_count=0, dropped_count=0,
    in_flight_count=0, own_limit_count=0, sent_bytes=1, received_bytes=1, lag_p50_ms=5.0,
    lag_p99_ms=50.0, lag_max_ms=900.0, cpu_s=9.5, cpu_ratio=0.95, sending_s=10.0, elapsed_s=10.0,
)  # fmt: skip


def test_a_generator_at_its_limits_is_still_sound() -> None:
    assert unsound(SOUND) == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"lag_p50_ms": 5.01}, "half of the requests"),
        ({"lag_p99_ms": 50.01}, "1 % of the requests"),
        ({"cpu_ratio": 0.951}, "of a core"),
        ({"own_limit_count": 1}, "no descriptor"),
        ({"planned_count": 0}, "no request"),
        ({"held_up_count": 11, "parted_count": 22}, "idle connections"),
        ({"lag_p50_ms": None}, "no request"),
    ],
)
def test_a_generator_that_fell_behind_is_unsound_and_says_why(
    change: dict[str, float | None], reason: str
) -> None:
    reasons = unsound(dataclasses.replace(SOUND, **change))  # type: ignore[arg-type]
    assert len(reasons) == 1
    assert reason in reasons[0]


@pytest.mark.parametrize(
    ("held_up_count", "parted_count"), [(10, 10), (11, 23)], ids=["one in a hundred", "by chance"]
)
def test_replies_after_idle_connections_were_closed_may_be_chance(
    held_up_count: int, parted_count: int
) -> None:
    tally = dataclasses.replace(SOUND, held_up_count=held_up_count, parted_count=parted_count)
    assert unsound(tally) == ()


def test_a_load_too_short_to_tell_has_not_used_too_much_of_a_core() -> None:
    assert unsound(dataclasses.replace(SOUND, cpu_ratio=1.07, elapsed_s=0.9)) == ()


def test_no_report_proves_nothing() -> None:
    assert unsound(None)


def test_drops_caused_by_a_stalled_target_are_not_the_generators_fault() -> None:
    assert unsound(dataclasses.replace(SOUND, dropped_count=500, acked_count=500)) == ()


def test_merged_reports_sum_counts_and_keep_the_worst_lag() -> None:
    other = dataclasses.replace(SOUND, lag_p99_ms=70.0, lag_p50_ms=None, cpu_ratio=0.2, cpu_s=2.0)
    merged = Tally.merged([SOUND, other])
    assert merged.planned_count == 2000
    assert merged.lag_p99_ms == 70.0
    assert merged.lag_p50_ms == 5.0
    assert merged.cpu_s == 11.5
    assert merged.cpu_ratio == 0.95
