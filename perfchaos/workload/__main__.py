"""
`python -m perfchaos.workload PLAN`: the workload process.

Reads the plan, writes its recording into the folder `recording` beside it, and speaks JSON lines
on stdout: `ready`, `progress` about once a second, `ended`. The end of its stdin, or SIGTERM, stops
it; SIGINT is ignored, since Ctrl-C in a terminal is meant for the run that started it.

A plan for several processes is run by one child each (`--part`). A child says `warm`, and begins
at the instant that it is then told on stdin.
"""

import argparse
import asyncio
import dataclasses
import gc
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from perfchaos.errors import InvalidInput, PerfchaosError
from perfchaos.recording.writer import Recorder
from perfchaos.workload import crew
from perfchaos.workload.engine import Engine
from perfchaos.workload.events import call_at_end_of_stdin, say, say_if_heard
from perfchaos.workload.plan import Plan
from perfchaos.workload.priority import ask_for_priority
from perfchaos.workload.rendering import renderer

_LEAD_NS = 20_000_000  # from the choice of the epoch to the first request
_PROGRESS_S = 1.0
_OWN_DESCRIPTORS = 64


def main() -> int:
    """Runs the plan named on the command line; 2 if it cannot be run."""
    parser = argparse.ArgumentParser(prog="perfchaos.workload", description="one load plan")
    parser.add_argument("plan", type=Path)
    parser.add_argument("--part", type=int, help="which part of the plan to run, from 0")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        plan = _plan_at(arguments.plan)
        folder = arguments.plan.parent / "recording"
        folder.mkdir(exist_ok=True)
        if plan.processes > 1 and arguments.part is None:
            asyncio.run(crew.run(plan, arguments.plan))
        else:
            _raise_descriptor_limit(plan.connections_max // plan.processes)
            ask_for_priority()
            uvloop.run(_run(plan, folder, part=arguments.part))
    except PerfchaosError as error:
        say("failed", problem=str(error))
        return 2
    return 0


async def _run(plan: Plan, folder: Path, *, part: int | None) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_end_at_once)
    signing = plan.request.signing
    key = b"" if signing is None else os.environ[signing.secret_env].encode()
    render = renderer(
        plan.request, seed=plan.seed, series=plan.series, key=key, keep_alive=plan.keep_alive
    )
    engine = Engine(plan, render, part=part or 0, parts=plan.processes)
    epoch_ns = time.monotonic_ns() + _LEAD_NS if part is None else _agreed_epoch_ns()
    path = folder / f"{part or 0}.samples"
    with Recorder(
        path, epoch_ns=epoch_ns, part=part or 0, parts=plan.processes, series=plan.series
    ) as recorder:
        loop.add_signal_handler(signal.SIGTERM, engine.stop)
        call_at_end_of_stdin(loop, engine.stop)
        say("ready", epoch_ns=epoch_ns)
        # What exists by now stays, and what follows makes few cycles.
        gc.collect()
        gc.freeze()
        reporter = loop.create_task(_report(engine))
        tally = await engine.run(recorder, epoch_ns=epoch_ns)
        reporter.cancel()
    say("ended", **dataclasses.asdict(tally))


async def _report(engine: Engine) -> None:
    while True:
        await asyncio.sleep(_PROGRESS_S)
        say_if_heard("progress", **dataclasses.asdict(engine.tally()))


def _end_at_once(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """
    What no handler expected, such as a full disk, ends the process.

    A generator that went on would lose samples; those recorded so far are kept.
    """
    error = context.get("exception")
    loop.default_exception_handler(context)
    if not isinstance(error, OSError):
        say("failed", problem=str(error or context.get("message")))
        os._exit(1)


def _agreed_epoch_ns() -> int:
    say("warm")
    line = sys.stdin.readline()
    if not line:
        raise PerfchaosError(
            "the process that coordinates the load is gone", next_step="start the load again"
        )
    return int(line)


def _plan_at(path: Path) -> Plan:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"the load plan {path}", [str(error)], next_step="write it with Plan.to_json"
        ) from error
    plan = Plan.from_json(data)
    plan.check()
    return plan


def _raise_descriptor_limit(connections_max: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections_max + _OWN_DESCRIPTORS
    if soft >= needed or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise PerfchaosError(
            f"{connections_max} connections need {needed} file descriptors, {hard} are allowed",
            next_step="lower connections_max or raise `ulimit -Hn`",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


if __name__ == "__main__":
    sys.exit(main())
