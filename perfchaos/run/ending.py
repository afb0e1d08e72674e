"""Ends a run: the load stops, the verdict is written, the watchdog is dismissed."""

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime

from perfchaos.errors import PerfchaosError
from perfchaos.ledger import report as ledger_report
from perfchaos.measure.lateness import late_phases
from perfchaos.race.measuring import evidence_of
from perfchaos.race.measuring import report as race_report
from perfchaos.run.faults import fault_reports
from perfchaos.run.journal import INTERRUPTED, Account
from perfchaos.run.run import Run
from perfchaos.run.well import ailments_of_baseline
from perfchaos.verdict import RaceReport, Status, Verdict, as_document, write_document
from perfchaos.workload.health import unsound

DRAIN_S = 5.0


def conclude(run: Run, account: Account) -> Verdict:
    """
    End the load, draw the verdict from all that was judged, and write `verdict.json`.

    `account` is how the experiment ended in the eyes of its host; what the run knows of itself can
    only make it worse.

    Raises:
        OSError: the verdict could not be written; the unfinished one stands.

    """
    run.end_load()
    run.companions.close()
    status, reasons = _own_account(run, account)
    race = _race(run) if run.race else None
    tally = run.workload.ended
    verdict = replace(
        run.draft,
        ended_at=datetime.now(UTC),
        status=status,
        reasons=(*run.reasons, *reasons),
        judgements=tuple(run.judgements.values()),
        not_asked=tuple(run.not_asked.values()),
        deviated=account.deviated,
        spans=run.spans(),
        faults=fault_reports(run.timeline.events(), run.draft.started_ns),
        ledger=ledger_report(run.ledger, run.seed, whole_run=run.ledger_whole)
        if run.ledger
        else None,
        workload=asdict(tally) if tally else {},
        race=race,
    )
    write_document(run.directory.verdict, as_document(verdict))
    try:
        run.watched.part(verdict=f"{verdict.status} {verdict.band}")
    except PerfchaosError as error:
        verdict = verdict.ended(datetime.now(UTC), Status.FAILED, *verdict.reasons, str(error))
        write_document(run.directory.verdict, as_document(verdict))
    return verdict


def _race(run: Run) -> RaceReport | None:
    """
    The race, judged though no probe may have asked; what proves one is kept in a file of its own.

    None if the database cannot be asked, which the run's reasons then say.
    """
    try:
        contest = run.contest(DRAIN_S)
    except PerfchaosError as error:
        run.reasons.append(str(error))
        return None
    told = race_report(contest)
    if told.doubt is not None:
        run.reasons.append(told.doubt)
    if told.raced:
        run.reasons.append(
            f"{told.raced} of {told.rounds} rounds were won by more than one, by nobody, or not by"
            f" whom it was told: see {run.directory.races}"
        )
        evidence = [evidence_of(one) for one in contest.raced]
        run.directory.races.write_text(json.dumps(evidence, indent=1), encoding="utf-8")
    return told


def _own_account(run: Run, account: Account) -> tuple[Status, list[str]]:
    """What the run knows of its own end that its host does not."""
    status, reasons = account.status, list(account.reasons)
    if run.load_died:
        return Status.FAILED, ["the load generator died during the run"]
    if (reason := run.net.revocation.reason) is not None:
        return Status.ABORTED, [f"the run was called off: {reason}"]
    if status is Status.COMPLETED and (weaknesses := _weaknesses(run)):
        # A generator that fell behind has measured itself, not the target.
        untrusted = [f"the load is not to be trusted: {why}" for why in weaknesses]
        return Status.INVALID, [*untrusted, *reasons]
    ailing = [f"the baseline is not well: {why}" for why in ailments_of_baseline(run)]
    if run.ailments:
        # It was we who interrupted it, before any harm.
        return Status.FAILED, [*ailing, *(why for why in reasons if why != INTERRUPTED)]
    if status is not Status.ABORTED:
        reasons = [*ailing, *reasons]
    if status is Status.COMPLETED and (left := run.not_judged()):
        named = ", ".join(dict.fromkeys(left))
        reasons.append(f"lived through and not judged to its end, so it is not known: {named}")
    return status, reasons


def _weaknesses(run: Run) -> tuple[str, ...]:
    """Why the load is not to be trusted, in the whole or in any of the phases."""
    in_whole = unsound(run.workload.ended)
    return in_whole or late_phases(run.recording, run.spans(), now_ns=run.now_ns)
