"""What the terminal says of a verdict."""

import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from perfchaos.report import print_summary
from perfchaos.run import RunDirectory
from perfchaos.timeline import Phase
from perfchaos.verdict import Better, Judgement, Limits, Measurement, Status, Verdict, judge


def unmeasured(name: str, why: str | None = None, *, phase: Phase = Phase.OUTAGE) -> Judgement:
    evidence = {"why": why} if why else {"seen: HTTP 401": 400}
    measurement = Measurement(
        name=name, phase=phase, value=None, unit="ms", samples=0, evidence=evidence
    )
    return judge(measurement, Limits(better=Better.LOWER, good=1))


def said(*judgements: Judgement, width: int = 200) -> str:
    draft = Verdict.unfinished(
        run_id="r", experiment="e", target="t", started_at=datetime.now(UTC), started_ns=0
    )
    verdict = replace(draft, status=Status.COMPLETED, reasons=(), judgements=judgements)
    file = io.StringIO()
    print_summary(verdict, RunDirectory(path=Path("/nowhere")), Console(file=file, width=width))
    return file.getvalue()


def test_what_was_not_measured_says_why_in_its_own_line() -> None:
    line = next(line for line in said(unmeasured("lost_count")).splitlines() if "unknown" in line)
    assert "lost" in line
    assert "HTTP 401: 400 of 400" in line


def test_one_reason_is_told_once_and_so_is_what_to_do_about_it() -> None:
    names = ("lost_count", "goodput_ratio", "time_to_drain_s", "win_ratio")
    text = said(*(unmeasured(name) for name in names))
    assert text.count("HTTP 401: 400 of 400") == 1
    assert text.count("as above") == 3
    assert text.count("find out why") == 1


def test_reasons_that_differ_between_phases_are_told_with_their_phase() -> None:
    calm = unmeasured("lost_count", "no login", phase=Phase.BASELINE)
    assert "baseline: no login; outage: HTTP 401: 400 of 400" in said(
        calm, unmeasured("lost_count")
    )


def test_what_is_well_gives_no_reason_and_is_not_cut_on_a_narrow_terminal() -> None:
    names = ("latency_p99_inflation", "clients_left_count", "sessions_left_count")
    limits = Limits(better=Better.LOWER, excellent=1, good=2)
    well = [
        judge(Measurement(name=name, phase=phase, value=1, unit=unit, samples=9), limits)
        for name, unit in zip(names, ("times", "clients", "sessions"), strict=True)
        for phase in (Phase.BASELINE, Phase.OUTAGE, Phase.RECOVERY, None)
    ]
    text = said(*well, width=80)
    assert "as above" not in text
    assert "…" not in text
    assert text.count("excellent") == 3
