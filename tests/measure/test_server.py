"""What Postgres took and what the application added, on literal looks."""

from dataclasses import replace

import numpy as np
import pytest

from perfchaos.measure import server
from perfchaos.measure.recovery import Disturbance, Moment, Recovery, Requests
from perfchaos.observe.health import HealthState
from perfchaos.observe.postgres import PostgresState, Sessions
from perfchaos.timeline import Phase

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
    found = server.server_time(OUTAGE, [CRASH], origin="fault", proven_after_s=30)
    assert found.value == pytest.approx(2.5)
    assert found.evidence["process_back_s"] == pytest.approx(1.0)
    assert found.evidence["accepts_s"] == pytest.approx(1.5)
    assert found.evidence["resolution_s"] == pytest.approx(0.03)
    assert found.evidence["sqlstate 57 operator intervention"] == "1 (57P01)"
    assert found.evidence["sqlstate 25 transaction state"] == "1 (25006)"


def test_nothing_is_said_of_a_process_that_nobody_looks_at() -> None:
    """A container's, for one."""
    unseen = [replace(state, process=None) for state in OUTAGE]
    found = server.server_time(unseen, [CRASH], origin="fault", proven_after_s=30)
    assert found.value == pytest.approx(2.5)
    assert found.evidence["process_back_s"] is None


def test_server_time_since_the_heal_is_counted_from_the_heal() -> None:
    found = server.server_time(OUTAGE, [CRASH], origin="heal", proven_after_s=30)
    assert found.value == pytest.approx(0.5)


def test_server_that_was_never_seen_ill_took_no_time() -> None:
    found = server.server_time([state(11), state(12)], [CRASH], origin="fault", proven_after_s=30)
    assert found.value == 0


def test_outage_within_one_look_is_seen() -> None:
    looks = [state(9.9), state(10.2, missed_s=10.17), state(10.4)]
    found = server.server_time(looks, [CRASH], origin="fault", proven_after_s=30)
    assert found.value == pytest.approx(0.2)


@pytest.mark.parametrize(("last_s", "value"), [(40, None), (41, 31)])
def test_server_that_stays_away_is_unknown_until_it_was_watched_for_long_enough(
    last_s: float, value: float | None
) -> None:
    looks = [state(9.9), state(last_s, accepts=False, writes=False)]
    found = server.server_time(looks, [CRASH], origin="fault", proven_after_s=30)
    assert found.value == value


def test_server_nobody_looked_at_is_unknown() -> None:
    assert server.server_time([], [CRASH], origin="fault", proven_after_s=30).value is None


def test_application_is_blamed_for_what_it_adds_only() -> None:
    found = server.application_time(OUTAGE, [recovered(9)], origin="fault", proven_after_s=30)
    assert found.value == pytest.approx(6.5)


@pytest.mark.parametrize(("watched_s", "value"), [(32.5, None), (33, 30.5)])
def test_application_that_never_recovers_is_blamed_once_that_is_proven(
    watched_s: float, value: float | None
) -> None:
    never = recovered(None, watched_s=watched_s)
    found = server.application_time(OUTAGE, [never], origin="fault", proven_after_s=30)
    assert found.value == value


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


def requests(*, failing: tuple[float, float]) -> Requests:
    intended_ns = np.arange(0, 30 * S, S // 100)
    at_s = intended_ns / S
    return Requests(
        intended_ns=intended_ns,
        done_ns=intended_ns,
        acked=(at_s < failing[0]) | (at_s >= failing[1]),
        flags=np.zeros(len(intended_ns), np.uint8),
        known_until_ns=30 * S,
    )


def looks(healthy: "dict[float, bool]") -> list[tuple[int, HealthState]]:
    return [
        (round(at_s * S), HealthState(status=200 if well else 503, healthy=well, sqlstates=""))
        for at_s, well in healthy.items()
    ]


def test_health_that_lies_is_caught_for_as_long_as_it_does() -> None:
    lying = looks({at / 4: True for at in range(119)})
    found = server.healthy_while_failing(lying, requests(failing=(10, 20)), Phase.RECOVERY)
    # Half a second on either side still knows of an acknowledged request.
    assert found.value == pytest.approx(9, abs=0.5)


def test_health_that_tells_the_truth_is_not_blamed() -> None:
    honest = looks({at / 4: not 40 <= at < 80 for at in range(119)})
    found = server.healthy_while_failing(honest, requests(failing=(10, 20)), Phase.RECOVERY)
    assert found.value == 0
    assert found.evidence["unhealthy_looks"] == 40


def test_health_is_not_blamed_while_some_writes_succeed() -> None:
    asked = looks({at / 4: True for at in range(119)})
    found = server.healthy_while_failing(asked, requests(failing=(10, 10.3)), Phase.RECOVERY)
    assert found.value == 0


def test_health_nobody_asked_for_is_unknown() -> None:
    found = server.healthy_while_failing([], requests(failing=(10, 20)), Phase.RECOVERY)
    assert found.value is None


def test_sqlstates_of_the_health_answers_are_counted_by_class() -> None:
    asked = [(12 * S, HealthState(status=503, healthy=False, sqlstates="57P03,08006"))]
    found = server.healthy_while_failing(asked, requests(failing=(10, 20)), Phase.RECOVERY)
    assert found.evidence["sqlstate 08 connection"] == "1 (08006)"
    assert found.evidence["sqlstate 57 operator intervention"] == "1 (57P03)"
