"""Begins a run: directory, watchdog, workload, warm-up and baseline."""

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from threading import Thread

from perfchaos.errors import PerfchaosError
from perfchaos.observe.queue import queue_look, queue_watched
from perfchaos.places import runs_dir
from perfchaos.processes import Process
from perfchaos.race.plan import RacePlan
from perfchaos.race.rounds import RoundRecording
from perfchaos.recording import Recording
from perfchaos.run.directory import RunDirectory, make_run_directory
from perfchaos.run.racing import RaceUnderWay
from perfchaos.run.run import Run, set_current
from perfchaos.run.settings import RaceSettings, WorkloadSettings
from perfchaos.safety.guard import StopCondition
from perfchaos.safety.protection import protect
from perfchaos.safety.watched import Watched
from perfchaos.target import Target
from perfchaos.timeline import Phase, Timeline
from perfchaos.verdict import Status, Verdict, as_document, write_document
from perfchaos.workload.process import start_workload

logger = logging.getLogger("chaostoolkit")


def begin(
    *,
    title: str,
    target: Target,
    settings: WorkloadSettings | RaceSettings,
    conditions: Sequence[StopCondition] = (),
    rehearse: Callable[[], None] = lambda: None,
) -> Run:
    """
    Start the load and all that belongs to a run; `current()` gives it from then on.

    Whatever dead runs have left harmed is healed first; then `rehearse` raises if the experiment
    cannot be played. `conditions` are what the guard stops at.

    Raises:
        PerfchaosError: something did not start, or is still harmed; the verdict then says what.

    """
    started_at, started_ns = datetime.now(UTC), time.monotonic_ns()
    directory = make_run_directory(runs_dir(), title=title, started_at=started_at)
    _log_into(directory)
    logger.info("Run %s against %s", directory.run_id, target.name)
    draft = Verdict.unfinished(
        run_id=directory.run_id,
        experiment=title,
        target=target.name,
        started_at=started_at,
        started_ns=started_ns,
    )
    write_document(directory.verdict, as_document(draft))
    try:
        with ExitStack() as undone:
            timeline = Timeline(directory.timeline)
            watched = protect(
                target,
                run_id=directory.run_id,
                run_directory=directory.path,
                timeline=timeline,
                conditions=conditions,
            )
            undone.callback(watched.part, verdict="failed to start")
            rehearse()
            run = _start(directory, draft, target, settings, timeline, watched, undone)
            undone.pop_all()
    except BaseException as error:
        # What is no error of ours is a signal that came meanwhile.
        ours = isinstance(error, PerfchaosError)
        ended = draft.ended(
            datetime.now(UTC), Status.FAILED if ours else Status.ABORTED, str(error) or repr(error)
        )
        write_document(directory.verdict, as_document(ended))
        raise
    set_current(run)
    Thread(target=_call_off_without_load, args=(run,), daemon=True).start()
    run.timeline.record("workload started", at_ns=None, seed=run.seed, **settings.facts())
    return run


def live_baseline(run: Run, settings: WorkloadSettings | RaceSettings) -> None:
    """
    Let the load warm up unmeasured, then be the baseline of all that follows.

    Raises:
        Revoked: the run was called off meanwhile.

    """
    run.go_on(settings.warm_up_s)
    run.enter(Phase.BASELINE)
    run.go_on(settings.baseline_s)


def _start(
    directory: RunDirectory,
    draft: Verdict,
    target: Target,
    settings: WorkloadSettings | RaceSettings,
    timeline: Timeline,
    watched: Watched,
    undone: ExitStack,
) -> Run:
    """Start the load and what looks on; what was started when something fails is undone."""
    companions = undone.enter_context(ExitStack())
    if (queue := queue_look(target)) is not None:
        companions.enter_context(queue_watched(queue, directory.queue))
    seed = secrets.randbits(63)
    plan = settings.plan(target, seed=seed)
    workload = start_workload(plan, directory.path)
    undone.callback(workload.stop, timeout_s=0)
    # Both are on their way up at once; nothing is harmed before both are there.
    workload.wait_ready()
    watched.wait_ready()
    watched.workload_started(Process.of(workload.pid), workload.recording_path)
    return Run(
        directory=directory,
        settings=settings,
        target=target,
        seed=seed,
        draft=draft,
        timeline=timeline,
        net=watched.net,
        watched=watched,
        workload=workload,
        recording=Recording.open(workload.recording_path),
        companions=companions,
        race=RaceUnderWay(plan=plan, recording=RoundRecording(directory.rounds))
        if isinstance(plan, RacePlan)
        else None,
    )


def _call_off_without_load(run: Run) -> None:
    """Take every fault back as soon as the load generator dies: nothing measures it any more."""
    run.workload.wait()
    if run.load_ended_ns is None:
        run.net.revocation.revoke("the load generator died")


def _log_into(directory: RunDirectory) -> None:
    """Keep what the run says beside what it found out."""
    handler = logging.FileHandler(directory.log, encoding="utf-8")
    handler.setLevel(logging.INFO)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
