"""Recoveries as measurements."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from perfchaos.measure import times
from perfchaos.measure.recovery import Disturbance, Moment, Recovery, Requests
from perfchaos.timeline import Phase

S = 1_000_000_000


def disturbance(at_s: float = 10, until_s: float = 40, kind: str | None = "crash") -> Disturbance:
    at_ns = round(at_s * S)
    return Disturbance(
        kind=kind,
        fault_ns=at_ns,
        in_force_ns=at_ns,
        healed_ns=at_ns + S,
        until_ns=round(until_s * S),
    )


def recovered(after_s: float | None, *, of: Disturbance, watched_s: float = 20) -> Recovery:
    moment = None if after_s is None else Moment(after_s=after_s, resolution_s=0.005)
    return Recovery(
        disturbance=of,
        origin_ns=of.fault_ns,
        watched_s=watched_s,
        samples=1000,
        failed_count=3,
        first_failure_after_s=0.001,
        sqlstates={"57": 2},
        first_write=moment,
        sustained=moment,
        latency_back=moment,
        drained=moment,
    )


def test_worst_of_several_recoveries_counts() -> None:
    both = [recovered(2, of=disturbance()), recovered(7, of=disturbance())]
    found = times.recovery_time(both, proven_after_s=30)
    assert (found.value, found.samples, found.phase) == (7, 2000, Phase.RECOVERY)
    assert found.evidence["each_s"] == "2.000 7.000"


def test_reasons_of_the_server_are_counted_over_all_recoveries() -> None:
    both = [recovered(2, of=disturbance()), recovered(7, of=disturbance())]
    found = times.recovery_time(both, proven_after_s=30)
    assert found.evidence["sqlstate 57 operator intervention"] == 4


@pytest.mark.parametrize(("watched_s", "value"), [(30, None), (30.1, 30.1)])
def test_never_recovered_is_unknown_until_it_was_watched_for_long_enough(
    watched_s: float, value: float | None
) -> None:
    never = recovered(None, of=disturbance(), watched_s=watched_s)
    found = times.recovery_time([recovered(2, of=disturbance()), never], proven_after_s=30)
    assert found.value == value


def test_no_recovery_at_all_is_unknown() -> None:
    assert times.recovery_time([], proven_after_s=30).value is None
    assert times.recovery_time([None], proven_after_s=30).value is None
    assert times.success_ratio(requests(lambda _: True), []).value is None


def test_healthy_baseline_is_measured_as_the_baseline() -> None:
    found = times.first_write([recovered(0, of=disturbance(kind=None))], proven_after_s=30)
    assert found.phase is Phase.BASELINE


def requests(acked: Callable[[float], bool], *, until_s: float = 40) -> Requests:
    intended_ns = np.arange(0, round(until_s * S), S // 100)
    return Requests(
        intended_ns=intended_ns,
        done_ns=intended_ns + 2_000_000,
        acked=np.array([bool(acked(at_ns / S)) for at_ns in intended_ns]),
        flags=np.zeros(len(intended_ns), np.uint8),
        known_until_ns=round(until_s * S),
    )


def test_success_is_counted_from_the_recovery_on() -> None:
    history = requests(lambda at_s: not 10 <= at_s < 14 and not 20 <= at_s < 21)
    found = times.success_ratio(history, [recovered(4, of=disturbance())])
    assert found.value == pytest.approx(25 / 26)
    assert found.evidence["worst_second_ratio"] == 0


def test_success_of_who_never_recovers_is_counted_from_the_heal_on() -> None:
    history = requests(lambda at_s: at_s < 10)
    assert times.success_ratio(history, [recovered(None, of=disturbance())]).value == 0


def test_victims_of_the_next_fault_are_not_failures_of_this_recovery() -> None:
    history = requests(lambda at_s: at_s < 29.999)
    history = replace(history, done_ns=history.intended_ns + S // 10)
    found = times.success_ratio(history, [recovered(1, of=disturbance(until_s=30))])
    assert found.value == 1


def test_pairs_are_graceful_first_in_whatever_order_they_came() -> None:
    fast, crash = disturbance(kind="fast shutdown"), disturbance(kind="crash")
    found = times.abrupt_difference(
        [recovered(s, of=of) for s, of in ((1, fast), (3, crash), (4, crash), (2, fast))]
    )
    assert found.value == 2
    assert (found.evidence["low_95_s"], found.evidence["high_95_s"]) == (2, 2)
    assert found.samples == 2


def test_a_pair_that_has_not_recovered_leaves_the_difference_unknown() -> None:
    fast, crash = disturbance(kind="fast shutdown"), disturbance(kind="crash")
    found = times.abrupt_difference(
        [recovered(s, of=of) for s, of in ((1, fast), (3, crash), (None, crash), (2, fast))]
    )
    assert found.value is None
