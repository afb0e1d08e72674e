"""Health that is told against health that is lived, on literal looks and requests."""

from dataclasses import replace

import numpy as np
import pytest

from perfchaos.measure.health import all_fail, healthy_while_failing
from perfchaos.measure.requests import Requests
from perfchaos.observe.health import HealthState
from perfchaos.timeline import Phase

S = 1_000_000_000


def requests(*, failing: tuple[float, float], per_s: int = 100) -> Requests:
    intended_ns = np.arange(0, 30 * S, S // per_s)
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
    found = healthy_while_failing(lying, requests(failing=(10, 20)), Phase.RECOVERY)
    assert found.value == pytest.approx(10, abs=0.01)


def test_health_that_tells_the_truth_is_not_blamed() -> None:
    honest = looks({at / 4: not 40 <= at < 80 for at in range(119)})
    found = healthy_while_failing(honest, requests(failing=(10, 20)), Phase.RECOVERY)
    assert found.value == 0
    assert found.evidence["unhealthy_looks"] == 40


def test_health_is_not_blamed_while_some_writes_succeed() -> None:
    asked = looks({at / 4: True for at in range(119)})
    found = healthy_while_failing(asked, requests(failing=(10, 10.3)), Phase.RECOVERY)
    assert found.value == 0


def test_health_nobody_asked_for_is_unknown() -> None:
    found = healthy_while_failing([], requests(failing=(10, 20)), Phase.RECOVERY)
    assert found.value is None


def test_sqlstates_of_the_health_answers_are_counted_by_class() -> None:
    asked = [(12 * S, HealthState(status=503, healthy=False, sqlstates="57P03,08006"))]
    found = healthy_while_failing(asked, requests(failing=(10, 20)), Phase.RECOVERY)
    assert found.evidence["sqlstate 08 connection"] == "1 (08006)"
    assert found.evidence["sqlstate 57 operator intervention"] == "1 (57P03)"


@pytest.mark.parametrize("per_s", [5, 40, 300])
@pytest.mark.parametrize("lasts_s", [2.5, 7.0])
def test_a_short_lie_is_as_long_as_it_was(per_s: int, lasts_s: float) -> None:
    asked = looks({at / 4: True for at in range(119)})
    history = requests(failing=(10, 10 + lasts_s), per_s=per_s)
    found = healthy_while_failing(asked, history, Phase.RECOVERY)
    assert found.value == pytest.approx(lasts_s, abs=1 / per_s)


def test_a_lie_of_little_over_a_second_is_no_nothing() -> None:
    asked = looks({at / 4: True for at in range(119)})
    found = healthy_while_failing(asked, requests(failing=(10, 11.2), per_s=40), Phase.RECOVERY)
    assert found.value == pytest.approx(1.2, abs=0.03)


def test_two_lies_are_not_added_up() -> None:
    asked = looks({at / 4: True for at in range(119)})
    first, second = (requests(failing=(at_s, at_s + 2)) for at_s in (5, 15))
    both = replace(first, acked=first.acked & second.acked)
    assert healthy_while_failing(asked, both, Phase.RECOVERY).value == pytest.approx(2, abs=0.01)


def test_what_it_said_before_it_was_asked_again_is_held_against_it() -> None:
    slow_to_notice = looks({at / 4: not 44 <= at < 80 for at in range(119)})
    found = healthy_while_failing(slow_to_notice, requests(failing=(10, 20)), Phase.RECOVERY)
    assert found.value == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("phase", "healthy", "known"),
    [
        (Phase.BASELINE, 0, False),
        (Phase.BASELINE, 3, False),
        (Phase.BASELINE, 4, True),
        (Phase.RECOVERY, 0, False),
        (Phase.RECOVERY, 1, True),
    ],
)
def test_an_endpoint_that_is_unhealthy_while_all_is_well_tells_nothing(
    phase: Phase, healthy: int, known: bool
) -> None:
    asked = looks({at / 4: at < healthy for at in range(8)})
    found = healthy_while_failing(asked, requests(failing=(10, 20)), phase)
    assert (found.value is not None) is known
    if not known:
        assert f"answered 503 while requests were acknowledged ({8 - healthy} of 8" in str(
            found.evidence["why"]
        )


def test_failing_stretches_are_those_of_a_slow_search() -> None:
    """Against the definition: every window of half a second and ten requests that all but fails."""
    draw = np.random.default_rng(20261125)
    for _ in range(60):
        count, per_s = int(draw.integers(12, 120)), int(draw.integers(4, 60))
        acked = np.repeat(draw.random(count // 6 + 1) < 0.4, 6)[:count]
        acked = acked ^ (draw.random(count) < 0.03)
        history = replace(requests(failing=(0, 0), per_s=per_s), acked=acked)
        due_ns = history.intended_ns[:count]
        history = replace(
            history,
            intended_ns=due_ns,
            done_ns=due_ns,
            flags=history.flags[:count],
            known_until_ns=int(due_ns[-1]) + 1,
        )
        covered = np.zeros(count, bool)
        for start in range(count):
            end = max(start + 10, int(np.count_nonzero(due_ns < due_ns[start] + S // 2)))
            if end <= count and acked[start:end].mean() < 0.05:
                failed = [at for at in range(start, end) if not acked[at]]
                covered[failed[0] : failed[-1] + 1] = True
        within = np.zeros(count, bool)
        for start_ns, end_ns in all_fail(history):
            within |= (due_ns >= start_ns) & (due_ns < end_ns)
        assert within.tolist() == covered.tolist()
