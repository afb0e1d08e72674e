"""How a run ended, drawn from literal journals of Chaos Toolkit."""

from typing import Any

import pytest

from perfchaos.run.journal import account_of
from perfchaos.verdict import Better, Judgement, Limits, Measurement, Status, judge

OURS = {"type": "probe", "provider": {"type": "python", "module": "probes.band", "func": "at_most"}}


def ran(
    name: str,
    *,
    met: bool | None = True,
    tolerance: object = True,
    kind: str = "probe",
    output: object = True,
    **more: object,
) -> dict[str, Any]:
    activity = {"name": name, "type": kind, "tolerance": tolerance}
    return {"activity": activity, "output": output, "status": "succeeded"} | (
        {} if met is None else {"tolerance_met": met}
    ) | more  # fmt: skip


def failing(name: str, kind: str) -> dict[str, Any]:
    lines = ["Traceback (most recent call last):\n", "  …\n", "ValueError: it is not there\n"]
    return ran(name, kind=kind, met=None, status="failed", exception=lines)


def state(*probes: dict[str, Any]) -> dict[str, Any]:
    return {"steady_state_met": all(p.get("tolerance_met") for p in probes), "probes": [*probes]}


def journal(
    *,
    before: dict[str, Any] | None = None,
    during: tuple[dict[str, Any], ...] = (),
    after: dict[str, Any] | None = None,
    **more: object,
) -> dict[str, Any]:
    return {
        "status": "completed",
        "deviated": after is not None and not after["steady_state_met"],
        "steady_states": {"before": before, "during": [*during], "after": after},
        "run": [ran("break it", kind="action", met=None)],
        "rollbacks": [],
    } | more


def judged(value: float, probe: str = "errors") -> Judgement:
    measurement = Measurement(name="lost_count", phase=None, value=value, unit="", samples=9)
    return judge(measurement, Limits(better=Better.LOWER, good=0.1), probe=probe)


WELL = state(ran("errors", tolerance=OURS))
FILE = "is the file there"


@pytest.mark.parametrize(
    ("told", "judgements", "status", "reasons", "proven"),
    [
        pytest.param(journal(before=WELL, after=WELL), [0.0], "completed", [], 0, id="all well"),
        pytest.param(journal(after=WELL), [0.0], "completed", [], 0, id="asked after only"),
        pytest.param(
            journal(before=WELL, after=state(ran("errors", tolerance=OURS, met=False))),
            [0.5],
            "completed",
            [],
            0,
            id="what a judgement tells of is not told twice",
        ),
        pytest.param(
            journal(before=WELL, after=state(ran("errors", tolerance=OURS), ran(FILE, met=False))),
            [0.0],
            "completed",
            [f"the probe '{FILE}' deviated after the method"],
            1,
            id="another's probe",
        ),
        pytest.param(
            journal(before=WELL, during=(state(ran(FILE, met=False)),), after=state(ran(FILE))),
            [0.0],
            "completed",
            [f"the probe '{FILE}' deviated during the method"],
            1,
            id="during the method only",
        ),
        pytest.param(
            journal(
                before=WELL,
                during=(state(ran("errors", tolerance=OURS, met=False)),) * 2,
                after=WELL,
            ),
            [0.0],
            "completed",
            ["the probe 'errors' deviated during the method"],
            0,
            id="a threshold during the method, kept after it",
        ),
        pytest.param(
            journal(before=WELL, after=state(ran("errors", tolerance=OURS, met=False, output=[]))),
            [],
            "completed",
            ["the probe 'errors' deviated after the method: it measured nothing"],
            0,
            id="nothing was measured",
        ),
        pytest.param(
            journal(after=state(ran("errors", tolerance=OURS, met=False, output=[{"value": 0}]))),
            [],
            "completed",
            ["the probe 'errors' deviated after the method"],
            0,
            id="a tolerance that failed",
        ),
        pytest.param(
            journal(before=WELL, after=WELL, deviated=True),
            [0.0],
            "completed",
            ["Chaos Toolkit called the steady state deviated, and named no probe"],
            0,
            id="deviated for no reason that is told",
        ),
        pytest.param(
            journal(before=state(ran("errors", tolerance=OURS, met=False)), run=[]),
            [0.5],
            "failed",
            ["the steady state was not met before anything was harmed (first: 'errors')"],
            0,
            id="the baseline",
        ),
        pytest.param(
            journal(before=WELL, run=[failing("break it", "action")], status="interrupted"),
            [0.0],
            "failed",
            ["the action 'break it' failed: it is not there"],
            0,
            id="a failed action",
        ),
        pytest.param(
            journal(before=WELL, during=(state(failing(FILE, "probe")),), after=WELL),
            [0.0],
            "failed",
            [f"the probe '{FILE}' failed: it is not there"],
            0,
            id="a probe that failed during the method",
        ),
        pytest.param(
            journal(
                before=WELL,
                after=state(ran(FILE, met=False)),
                rollbacks=[failing("heal", "action"), failing("tidy", "action")],
            ),
            [0.0],
            "failed",
            [
                "the action 'heal' failed: it is not there",
                "the action 'tidy' failed: it is not there",
                f"the probe '{FILE}' deviated after the method",
            ],
            1,
            id="rollbacks",
        ),
        pytest.param(
            journal(before=WELL, status="interrupted", run=[]),
            [0.0],
            "aborted",
            ["the experiment was interrupted"],
            0,
            id="interrupted",
        ),
    ],
)
def test_how_a_run_ended(
    told: dict[str, Any], judgements: list[float], status: str, reasons: list[str], proven: int
) -> None:
    account = account_of(told, [judged(value) for value in judgements])
    assert account.status is Status(status)
    assert list(account.reasons) == reasons
    assert len(account.deviated) == proven
