"""The verdict and its file: what it says, and that it never says more than is known."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from perfchaos.timeline import Phase, Span
from perfchaos.verdict import (
    Band,
    Better,
    FaultReport,
    Judgement,
    LedgerReport,
    Limits,
    Measurement,
    NotAsked,
    Status,
    Verdict,
    as_document,
    complete_as_aborted,
    judge,
    write_document,
)

LIMITS = Limits(better=Better.LOWER, excellent=0, good=0.01, warn=0.2)
SCHEMA = json.loads(
    resources.files("perfchaos.verdict").joinpath("verdict.schema.json").read_text()
)


def judgement(value: float | None, *, phase: Phase | None = Phase.OUTAGE) -> Judgement:
    measurement = Measurement(
        name="error_ratio", phase=phase, value=value, unit="ratio", samples=300
    )
    return judge(measurement, LIMITS)


def verdict(
    *values: float | None, status: Status = Status.COMPLETED, dependency: str = "redis"
) -> Verdict:
    return replace(
        Verdict.unfinished(
            run_id="20261123-120000-redis-ab12",
            experiment="Redis stops answering",
            target="reference",
            started_at=datetime(2026, 11, 23, 12, tzinfo=UTC),
            started_ns=1_000_000_000,
        ),
        ended_at=datetime(2026, 11, 23, 12, 1, tzinfo=UTC),
        status=status,
        reasons=(),
        judgements=tuple(judgement(value) for value in values),
        spans=(Span(phase=Phase.BASELINE, start_ns=3_000_000_000, end_ns=None),),
        faults=(
            FaultReport(
                kind="timeout",
                dependency=dependency,
                mechanism="toxiproxy toxic",
                injected_at_s=2.0,
                seen="silent",
                in_force_after_ms=2.5,
                healed_at_s=4.0,
                normal_after_ms=None,
            ),
        ),
        ledger=LedgerReport(
            acked=10,
            refused=0,
            indeterminate=1,
            lost=1,
            duplicated=0,
            phantom=0,
            recovered=1,
            in_queue=0,
            waiting=0,
            missing=1,
            lost_ids=("00000000-0000-4000-8000-000000000001",),
            duplicated_ids=(),
            phantom_ids=(),
        ),
    )


@pytest.mark.parametrize(
    ("values", "status", "band", "exit_code"),
    [
        ([0.0], Status.COMPLETED, Band.EXCELLENT, 0),
        ([0.0, 0.2], Status.COMPLETED, Band.WARN, 0),
        ([0.0, 0.3], Status.COMPLETED, Band.CRITICAL, 1),
        ([0.0, None], Status.COMPLETED, Band.UNKNOWN, 1),
        ([], Status.COMPLETED, Band.UNKNOWN, 1),
        ([0.0], Status.FAILED, Band.UNKNOWN, 1),
        ([0.0], Status.ABORTED, Band.UNKNOWN, 1),
        ([0.0], Status.INVALID, Band.UNKNOWN, 1),
        ([0.3], Status.ABORTED, Band.CRITICAL, 1),
    ],
)
def test_only_a_completed_run_whose_worst_band_passes_is_green(
    values: Sequence[float | None], status: Status, band: Band, exit_code: int
) -> None:
    drawn = verdict(*values, status=status)
    assert drawn.band is band
    assert drawn.exit_code == exit_code


@pytest.mark.parametrize("values", [[0.0, 0.3, None], []])
def test_every_verdict_keeps_the_schema(values: Sequence[float | None]) -> None:
    Draft202012Validator(SCHEMA).validate(as_document(verdict(*values)))


def test_a_run_that_never_ends_is_aborted_and_unknown() -> None:
    draft = Verdict.unfinished(
        run_id="r", experiment="e", target="t", started_at=datetime.now(UTC), started_ns=0
    )
    document = as_document(draft)
    Draft202012Validator(SCHEMA).validate(document)
    assert (document["status"], document["band"], document["exit_code"]) == (
        "aborted",
        "unknown",
        1,
    )


def test_seconds_count_from_the_start_of_the_run() -> None:
    assert as_document(verdict(0.0))["phases"] == [
        {"name": "baseline", "start_s": 2.0, "end_s": None}
    ]


def test_a_measurement_carries_the_advice_for_the_dependency_that_was_harmed() -> None:
    advice = as_document(verdict(0.6))["measurements"][0]["advice"]
    assert advice[0] == "system unusable"
    assert any("CIRCUIT_BREAKER_ENABLED=true" in line for line in advice)
    other = as_document(verdict(0.6, dependency="postgres"))["measurements"][0]["advice"]
    assert other == ["system unstable"]


def test_a_died_run_is_completed_as_aborted_with_what_was_healed(tmp_path: Path) -> None:
    draft = replace(verdict(), ended_at=None, status=Status.ABORTED)
    write_document(tmp_path / "verdict.json", as_document(draft))
    healed = [{"kind": "timeout", "dependency": "redis", "mechanism": "toxiproxy toxic"}]
    complete_as_aborted(tmp_path, reason="the run died", healed=healed)
    document = json.loads((tmp_path / "verdict.json").read_text())
    Draft202012Validator(SCHEMA).validate(document)
    assert document["status"] == "aborted"
    assert document["reasons"] == ["the run died"]
    assert document["healed_by_watchdog"] == healed
    assert document["ended_at"] is not None


def test_a_whole_verdict_is_not_taken_back(tmp_path: Path) -> None:
    write_document(tmp_path / "verdict.json", as_document(verdict(0.0)))
    before = (tmp_path / "verdict.json").read_text()
    complete_as_aborted(tmp_path, reason="too late", healed=[])
    assert (tmp_path / "verdict.json").read_text() == before


def test_a_value_that_is_not_json_leaves_the_verdict_before_it_whole(tmp_path: Path) -> None:
    write_document(tmp_path / "verdict.json", {"ended_at": None})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_document(tmp_path / "verdict.json", {"value": float("nan")})
    assert json.loads((tmp_path / "verdict.json").read_text()) == {"ended_at": None}


def test_what_was_not_asked_decides_nothing_and_is_told() -> None:
    moot = NotAsked(name="queue_backlog_count", why="target 'acme' has no queue in Redis")
    asked = replace(verdict(0.0), not_asked=(moot,))
    document = as_document(asked)
    Draft202012Validator(SCHEMA).validate(document)
    assert document["not_asked"] == [{"name": moot.name, "why": moot.why}]
    assert asked.exit_code == 0
    assert replace(verdict(), not_asked=(moot,)).band is Band.UNKNOWN


def test_not_asked_is_told_from_a_measurement() -> None:
    moot = NotAsked(name="queue_backlog_count", why="no queue")
    assert NotAsked.from_dict(moot.as_dict()) == moot
    assert NotAsked.from_dict(judgement(0.0).measurement.as_dict()) is None
    assert NotAsked.from_dict({"name": "lost_count"}) is None


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_is_in_the_schema(phase: Phase) -> None:
    spans = (Span(phase=phase, start_ns=3_000_000_000, end_ns=None),)
    lived = replace(verdict(), spans=spans, judgements=(judgement(0.0, phase=phase),))
    Draft202012Validator(SCHEMA).validate(as_document(lived))


def test_no_reason_goes_with_green() -> None:
    said = replace(verdict(0.0), reasons=("something is not as it should be",))
    assert (said.band, said.exit_code) == (Band.UNKNOWN, 1)


def test_a_tolerance_that_was_not_met_is_critical_whatever_was_measured() -> None:
    deviated = replace(verdict(0.0), deviated=("the probe 'x' deviated",), reasons=("…",))
    assert (deviated.band, deviated.exit_code) == (Band.CRITICAL, 1)
    assert as_document(deviated)["deviated"] == ["the probe 'x' deviated"]


def test_judgements_are_told_apart_by_probe_subject_and_phase() -> None:
    one = judge(judgement(0.0).measurement, LIMITS, probe="strict")
    other = judge(one.measurement, LIMITS, probe="lenient")
    elsewhere = judge(replace(one.measurement, subject="b"), LIMITS, probe="strict")
    again = judge(replace(one.measurement, value=1.0), LIMITS, probe="strict")
    assert len({one.key, other.key, elsewhere.key}) == 3
    assert again.key == one.key


def test_a_baseline_too_short_to_prove_its_limit_decides_nothing_beside_the_question() -> None:
    def share(phase: Phase | None, samples: int, value: float = 0.0) -> Judgement:
        one = Measurement(
            name="error_ratio", phase=phase, value=value, unit="ratio", samples=samples
        )
        limits = Limits(better=Better.LOWER, good=0.001)
        return judge(one, limits, probe="p", yardstick=phase is Phase.BASELINE)

    short = share(Phase.BASELINE, 20)
    assert (short.band, short.why) == (Band.WARN, "20 of 2,995 samples")
    assert replace(verdict(), judgements=(short,)).band is Band.WARN
    assert replace(verdict(), judgements=(short, share(None, 3000))).band is Band.GOOD
    assert replace(verdict(), judgements=(short, share(Phase.LOAD, 2994))).band is Band.UNKNOWN
    ill = share(Phase.BASELINE, 20, value=0.05)
    assert replace(verdict(), judgements=(ill, share(None, 3000))).band is Band.CRITICAL
    assert share(Phase.BASELINE, 0).band is Band.UNKNOWN
