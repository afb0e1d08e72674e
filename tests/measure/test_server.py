"""What Postgres took and what the application added, on literal looks."""

from dataclasses import replace

import pytest

from perfchaos.measure import server
from perfchaos.measure.recovery import Disturbance, Moment, Recovery
from perfchaos.observe.postgres import PostgresState, Sessions

S = 1_000_000_000
FAULT_S = 10
CRASH = Disturbance(
    kind="crash",
    fault_ns=FAULT_S * S,
    in_force_ns=FAULT_S * S,
    healed_ns=12 * S,
    until_ns=60 * S,
)


def state(
    at_s: float,
    *,
    process: bool = True,
    accepts: bool = True,
    writes: bool = True,
    missed_s: float | None = None,
    sqlstate: str | None = None,
    sessions: Sessions | None = None,
) -> PostgresState:
    return PostgresState(
        process=process,
        accepts=accepts,
        writes=writes,
        seen_ns=round(at_s * S),
        missed_ns=None if missed_s is None else round(missed_s * S),
        sqlstate=sqlstate,
        said=None,
        sessions=sessions,
    )


OUTAGE = [
    state(9.9),
    state(10.1, process=False, accepts=False, writes=False, sqlstate="57P01"),
    state(11.0, accepts=False, writes=False),
    state(11.5, writes=False, sqlstate="25006"),
    state(12.5, missed_s=12.47),
    state(12.6),
]


def recovered(after_s: float | None, *, watched_s: float = 20) -> Recovery:
    moment = None if after_s is None else Moment(after_s=after_s, resolution_s=0.005)
    return Recovery(
        disturbance=CRASH,
        origin_ns=CRASH.fault_ns,
        watched_s=watched_s,
        samples=1000,
        failed_count=3,
        first_failure_after_s=0.001,
        sqlstates={},
        first_write=moment,
        sustained=moment,
        latency_back=moment,
        drained=moment,
    )


def test_server_is_back_step_by_step() -> None:
    found = server.server_time(OUTAGE, [CRASH], origin="fault")
    assert found.value == pytest.approx(2.5)
    assert found.evidence["process_back_s"] == pytest.approx(1.0)
    assert found.evidence["accepts_s"] == pytest.approx(1.5)
    assert found.evidence["resolution_s"] == pytest.approx(0.03)
    assert found.evidence["sqlstate 57 operator intervention"] == "1 (57P01)"
    assert found.evidence["sqlstate 25 transaction state"] == "1 (25006)"


def test_a_look_that_waited_in_vain_tells_of_its_beginning_only() -> None:
    """A container that has just been started may swallow a connection for half a second."""
    waited = state(10.7, accepts=False, writes=False, missed_s=10.2)
    found = server.server_time([state(9.9), waited, state(10.72)], [CRASH], origin="fault")
    assert found.evidence["resolution_s"] == pytest.approx(0.52)


def test_nothing_is_said_of_a_process_that_nobody_looks_at() -> None:
    """A container's, for one."""
    unseen = [replace(state, process=None) for state in OUTAGE]
    found = server.server_time(unseen, [CRASH], origin="fault")
    assert found.value == pytest.approx(2.5)
    assert found.evidence["process_back_s"] is None


def test_server_time_since_the_heal_is_counted_from_the_heal() -> None:
    found = server.server_time(OUTAGE, [CRASH], origin="heal")
    assert found.value == pytest.approx(0.5)


def test_server_that_was_never_seen_ill_took_no_time() -> None:
    found = server.server_time([state(11), state(12)], [CRASH], origin="fault")
    assert found.value == 0


def test_outage_within_one_look_is_seen() -> None:
    looks = [state(9.9), state(10.2, missed_s=10.17), state(10.4)]
    found = server.server_time(looks, [CRASH], origin="fault")
    assert found.value == pytest.approx(0.2)


def test_server_that_stays_away_is_away_at_least_as_long_as_it_was_watched() -> None:
    looks = [state(9.9), state(40, accepts=False, writes=False)]
    found = server.server_time(looks, [CRASH], origin="fault")
    assert (found.value, found.lower_bound) == (30, True)


def test_server_that_relapses_is_back_after_the_last_time() -> None:
    ill = [state(at_s, writes=False) for at_s in (15.0, 15.1, 15.2)]
    found = server.server_time([*OUTAGE, *ill, state(15.5)], [CRASH], origin="fault")
    assert found.value == pytest.approx(5.5)


def test_one_look_that_found_it_away_is_no_relapse() -> None:
    looks = [*OUTAGE, state(15.0, writes=False), state(15.5)]
    found = server.server_time(looks, [CRASH], origin="fault")
    assert found.value == pytest.approx(2.5)


def test_server_nobody_looked_at_is_unknown() -> None:
    assert server.server_time([], [CRASH], origin="fault").value is None


def test_application_is_blamed_for_what_it_adds_only() -> None:
    found = server.application_time(OUTAGE, [recovered(9)], origin="fault")
    assert found.value == pytest.approx(6.5)


def test_application_that_never_recovers_adds_at_least_what_was_watched() -> None:
    never = recovered(None, watched_s=32.5)
    found = server.application_time(OUTAGE, [never], origin="fault")
    assert (found.value, found.lower_bound) == (30, True)


def test_sessions_are_judged_by_the_last_look_and_their_rush_by_the_worst() -> None:
    counts = [(30, 0, 0, 0), (41, 3, 1, 25), (30, 1, 0, 2)]
    looks = [
        state(
            10 + index,
            sessions=Sessions(connections=c, stuck=s, idle_in_transaction=i, started=n),
        )
        for index, (c, s, i, n) in enumerate(counts)
    ]
    assert server.reconnect_peak(looks, [CRASH]).value == 25
    assert server.reconnect_peak(looks, [CRASH]).evidence["connections_peak"] == 41
    assert server.stuck_sessions(looks, [CRASH]).value == 1
    assert server.idle_in_transaction(looks, [CRASH]).value == 0


def test_sessions_nobody_could_count_are_unknown() -> None:
    assert server.stuck_sessions([state(11)], [CRASH]).value is None
