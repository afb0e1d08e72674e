"""
The life of one run, as Chaos Toolkit lives it; the only module that knows Chaos Toolkit.

An experiment names it once, as a control:

    controls:
      - name: perfchaos
        provider:
          type: python
          module: perfchaos.control
          arguments:
            workload: {kind: webhook, rate_per_s: 150, warm_up_s: 2, baseline_s: 8}
            guard:
              - {stop_when: error_ratio, above: 0.9, window_s: 10}

Chaos Toolkit swallows what a hook raises unless it is an interruption, goes on after a failed
action, stops measuring at the first probe that deviates, and exits 0 after many a failure. The
hooks here put each of these right; the last one decides the exit code from what the run found out.
"""

import functools
import json
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from chaoslib import substitute
from chaoslib.activity import run_activity
from chaoslib.exceptions import ActivityFailed, InterruptExecution, InvalidControl
from chaoslib.hypothesis import within_tolerance
from rich.console import Console

from perfchaos.errors import InvalidInput, PerfchaosError
from perfchaos.report import Progress, print_summary, write_page, write_seconds
from perfchaos.run import NoRun, Run, current, name_asker, run_under_way, set_current
from perfchaos.run.beginning import begin, live_baseline
from perfchaos.run.checking import hypothesis_mistakes
from perfchaos.run.ending import conclude
from perfchaos.run.journal import account_of
from perfchaos.run.rehearsing import rehearsal
from perfchaos.run.settings import read_workload_settings
from perfchaos.run.well import require_well_baseline
from perfchaos.safety import Rehearsed
from perfchaos.safety.guard import read_conditions
from perfchaos.safety.protection import require_harmable
from perfchaos.target import Target
from perfchaos.target.loading import find_target, load_target
from perfchaos.verdict import Status, Verdict

type Data = dict[str, Any]

logger = logging.getLogger("chaostoolkit")

_VERDICT = "perfchaos_verdict"
"""The key of the journal that says where the verdict is."""


def _interrupting[**P](hook: Callable[P, None]) -> Callable[P, None]:
    """Let no error of `hook` be swallowed: interrupt the experiment, and say why."""

    @functools.wraps(hook)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            hook(*args, **kwargs)
        except PerfchaosError as error:
            raise InterruptExecution(str(error)) from error

    return wrapped


def validate_control(control: Data) -> None:
    """
    Check the target file and the control's arguments before anything starts, all at once.

    Raises:
        InvalidControl: with every mistake found.

    """
    mistakes: list[str] = []
    arguments = control["provider"].get("arguments", {})
    for check in (
        _allowed_target,
        lambda: _check_arguments(arguments),
    ):
        try:
            check()
        except PerfchaosError as error:
            mistakes.append(str(error))
    if mistakes:
        raise InvalidControl("\n".join(mistakes))


@_interrupting
def before_experiment_control(
    context: Data,
    workload: Data,
    configuration: Data,
    secrets: Data,
    guard: list[Data] | None = None,
    **_: object,
) -> None:
    """Bring the workload and the watchdog up, and live through the baseline; or rehearse."""
    if run_under_way():
        return  # Declared twice, or globally too: the run is one all the same.
    if context.get("dry"):
        _rehearse(context, configuration, secrets)
        return
    settings, conditions = read_workload_settings(workload), read_conditions(guard or [])
    target = _allowed_target()

    def rehearse() -> None:
        mistakes = _mistakes_of(context, configuration, secrets, target, logger.debug)
        rate_per_s = settings.greatest_per_s
        mistakes += [why for one in conditions if (why := one.never_trips(rate_per_s)) is not None]
        _require_no_mistakes(mistakes)

    run = begin(
        title=context["title"],
        target=target,
        settings=settings,
        conditions=conditions,
        rehearse=rehearse,
    )
    run.companions.enter_context(Progress(run.recording, lambda: run.phase))
    live_baseline(run, settings)


@_interrupting
def after_activity_control(context: Data, state: Data | None, **_: object) -> None:
    """
    Note who measured what, and interrupt the experiment at an action that failed.

    Chaos Toolkit would go on. Rollbacks are played to the end all the same: each that is left out
    is a harm that stays.
    """
    if not state:
        return
    name_asker(state.get("output"), context["name"])
    failed = context["type"] == "action" and state.get("status") == "failed"
    if failed and not (run_under_way() and current().rolling_back):
        raise InterruptExecution(f"the action '{context['name']}' failed")


@_interrupting
def before_method_control(**_: object) -> None:
    """Harm nothing where the baseline was not well."""
    if run_under_way():
        require_well_baseline(current())


@_interrupting
def after_method_control(**_: object) -> None:
    """End the load: what is asked from now on is asked of the whole run."""
    if run_under_way():
        current().end_load()


def before_rollback_control(**_: object) -> None:
    """From now on nothing is interrupted."""
    if run_under_way():
        current().rolling_back = True


def after_hypothesis_control(
    context: Data, state: Data | None, configuration: Data, secrets: Data, **_: object
) -> None:
    """Ask the probes that Chaos Toolkit left out because one before them deviated."""
    if not run_under_way() or state is None:
        return
    for probe in context.get("probes", [])[len(state["probes"]) :]:
        asked: Data = {"activity": probe, "status": "succeeded", "tolerance_met": False}
        try:
            asked["output"] = run_activity(probe, configuration, secrets)
            name_asker(asked["output"], probe["name"])
            asked["tolerance_met"] = within_tolerance(
                probe["tolerance"], asked["output"], configuration, secrets
            )
        except ActivityFailed as error:
            asked |= {"status": "failed", "exception": [str(error)]}
        state["probes"].append(asked)


def after_experiment_control(context: Data, state: Data, **_: object) -> None:
    """Write the verdict, and make the exit code honest."""
    if context.get("dry") or _VERDICT in state:
        return  # Nothing was done; or the control is declared twice, and the run is one.
    if not run_under_way():
        # The run never began: the reason was said, and nothing was measured.
        state["status"] = "failed"
        return
    run = current()
    set_current(None)
    account = account_of(state, run.judgements.values())
    state["status"] = "failed"  # Until the verdict stands: what is raised here is swallowed.
    try:
        verdict = conclude(run, account)
    except OSError as error:
        logger.error(  # noqa: TRY400 - the object and the reason; a traceback says no more
            "The verdict could not be written to %s (%s): it stays aborted and unknown. Make room"
            " there, and run again",
            run.directory.verdict,
            error,
        )
        return
    if verdict.status is Status.COMPLETED:
        state["status"] = "completed"
        state["deviated"] = verdict.exit_code != 0
    state[_VERDICT] = str(run.directory.verdict)
    for what, tell in (
        ("the journal", lambda: _write_journal(run, state)),
        ("the report", lambda: write_page(verdict, run.directory, run.recording)),
        ("the seconds", lambda: write_seconds(run.directory, run.recording)),
        ("the summary", lambda: _print_verdict(verdict, run)),
    ):
        _tell(what, tell, run)


def _tell(what: str, tell: Callable[[], None], run: Run) -> None:
    """Tell of the run in one form; where that fails the verdict stands, and it is said."""
    try:
        tell()
    except Exception as error:  # noqa: BLE001 - whatever it is, Chaos Toolkit would swallow it
        logger.error(  # noqa: TRY400
            "%s of the run could not be written (%s: %s); its verdict stands in %s",
            what.capitalize(),
            type(error).__name__,
            error,
            run.directory.verdict,
        )


def _print_verdict(verdict: Verdict, run: Run) -> None:
    try:
        print_summary(verdict, run.directory, Console())
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # Rich makes an exit code of its own of a broken pipe.
        # Nobody reads on; what Python would flush at its end must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise BrokenPipeError("nobody reads the terminal's lines any more") from None


def _rehearse(experiment: Data, configuration: Data, secrets: Data) -> None:
    """
    Say what every action of the method would do to what, and do none of it.

    Raises:
        InvalidInput: some of it would not be allowed, or could not be done.

    """

    def tell(line: str) -> None:
        logger.info("Would harm %s", line)

    _require_no_mistakes(_mistakes_of(experiment, configuration, secrets, _allowed_target(), tell))


def _mistakes_of(
    experiment: Data,
    configuration: Data,
    secrets: Data,
    target: Target,
    tell: Callable[[str], None],
) -> list[str]:
    """All that would go wrong with the experiment on `target`, found out without any harm."""
    hypothesis = experiment.get("steady-state-hypothesis") or {}
    probes = [substitute(one, configuration, secrets) for one in hypothesis.get("probes", [])]
    mistakes = hypothesis_mistakes(probes)
    set_current(rehearsal(target, tell=tell))
    try:
        for activity in experiment["method"]:
            if activity["type"] == "action" and _is_ours(activity):
                mistakes += _rehearse_action(activity, configuration, secrets, tell)
    finally:
        set_current(None)
    return mistakes


def _is_ours(action: Data) -> bool:
    """Whether it asks the safety net before it harms; any other would really be done."""
    return str(action["provider"].get("module", "")).partition(".")[0] in ("actions", "perfchaos")


def _rehearse_action(
    action: Data, configuration: Data, secrets: Data, tell: Callable[[str], None]
) -> list[str]:
    try:
        run_activity(action, configuration, secrets)
    except ActivityFailed as error:
        if isinstance(error.__context__, NoRun):
            tell(f"nothing: {action['name']}")
        elif not isinstance(error.__context__, Rehearsed):
            return [f"the action '{action['name']}' would fail: {error}"]
    return []


def _require_no_mistakes(mistakes: list[str]) -> None:
    if mistakes:
        raise InvalidInput(
            "the experiment",
            mistakes,
            next_step="correct it or the target file; nothing was harmed",
        )


def _write_journal(run: Run, journal: Data) -> None:
    """Keep Chaos Toolkit's journal beside the verdict; what is not JSON is told in words."""
    run.directory.journal.write_text(json.dumps(journal, indent=2, default=str), encoding="utf-8")


def _allowed_target() -> Target:
    """
    The target, if nobody has locked it and its own blast radius lets it be loaded at all.

    Raises:
        PerfchaosError: it must not be touched, or the target file is wrong.

    """
    target = load_target(find_target())
    require_harmable(target)
    return target


def _check_arguments(arguments: Data) -> None:
    unknown = sorted(set(arguments) - {"workload", "guard"})
    if unknown or "workload" not in arguments:
        raise InvalidInput(
            "the control 'perfchaos'",
            [f"unknown argument {name!r}" for name in unknown]
            + ([] if "workload" in arguments else ["the argument 'workload' is missing"]),
            next_step="correct its arguments in the experiment",
        )
    if not _has_placeholder(arguments["workload"]):
        read_workload_settings(arguments["workload"])
    if not _has_placeholder(arguments.get("guard", [])):
        read_conditions(arguments.get("guard", []))


def _has_placeholder(settings: object) -> bool:
    """Whether a value is still to be filled in from the configuration; then it is checked later."""
    return "${" in json.dumps(settings, default=str)
