"""Recoveries as measurements."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from perfchaos.measure import times
from perfchaos.measure.recovery import Disturbance, Moment, Recovery
from perfchaos.measure.requests import Requests
from perfchaos.timeline import Phase
from perfchaos.verdict import Band, Better, Limits, judge

S = 1_000_000_000


def disturbance(
    at_s: float = 10,
    until_s: float = 40,
    kind: str | None = "crash",
    *,
    harmed_next: bool = False,
) -> Disturbance:
    at_ns = round(at_s * S)
    return Disturbance(
        kind=kind,
        fault_ns=at_ns,
        in_force_ns=at_ns,
        healed_ns=at_ns + S,
        until_ns=round(until_s * S),
        harmed_next=harmed_next,
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
    found = times.recovery_time(both)
    assert (found.value, found.samples, found.phase) == (7, 2000, Phase.RECOVERY)
    assert found.evidence["each_s"] == "2.000 7.000"


def test_reasons_of_the_server_are_counted_over_all_recoveries() -> None:
    both = [recovered(2, of=disturbance()), recovered(7, of=disturbance())]
    found = times.recovery_time(both)
    assert found.evidence["sqlstate 57 operator intervention"] == 4


@pytest.mark.parametrize(
    ("after_s", "watched_s", "least_s"), [(2, 20, 20), (2, 30.1, 30.1), (7, 4, 7)]
)
def test_what_has_not_recovered_takes_at_least_as_long_as_it_was_watched(
    after_s: float, watched_s: float, least_s: float
) -> None:
    never = recovered(None, of=disturbance(), watched_s=watched_s)
    found = times.recovery_time([recovered(after_s, of=disturbance()), never])
    assert (found.value, found.lower_bound) == (least_s, True)


@pytest.mark.parametrize(
    ("watched_s", "band"), [(9, Band.UNKNOWN), (10, Band.UNKNOWN), (10.1, Band.CRITICAL)]
)
def test_a_recovery_that_did_not_come_is_critical_beyond_the_limit_and_unknown_before(
    watched_s: float, band: Band
) -> None:
    found = times.latency_recovery([recovered(None, of=disturbance(), watched_s=watched_s)])
    assert judge(found, Limits(better=Better.LOWER, good=5, warn=10)).band is band


def test_the_recovery_of_a_fault_that_lasts_may_be_the_worst() -> None:
    found = times.recovery_time([recovered(2, of=disturbance()), None])
    assert (found.value, found.lower_bound) == (2, True)


def test_no_recovery_at_all_is_unknown() -> None:
    assert times.recovery_time([]).value is None
    assert times.recovery_time([None]).value is None
    assert times.success_ratio(requests(lambda _: True), []).value is None


def test_healthy_baseline_is_measured_as_the_baseline() -> None:
    found = times.first_write([recovered(0, of=disturbance(kind=None))])
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
    found = times.success_ratio(
        history, [recovered(1, of=disturbance(until_s=30, harmed_next=True))]
    )
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
