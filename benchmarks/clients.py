"""
What a generator reports of a server: a fixed rate as its customers see it, and a capacity.

Every generator runs on the processor cores of the process that calls.
"""

import json
import math
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import BODY
from benchmarks.tools import SCRIPTS, Tools
from perfchaos.errors import PerfchaosError
from perfchaos.recording import Recording
from perfchaos.workload.arrivals import Arrivals
from perfchaos.workload.capacity import SearchPlan, find_capacity
from perfchaos.workload.plan import Plan, RequestTemplate
from perfchaos.workload.process import start_workload
from perfchaos.workload.stepping import TargetStepper
from perfchaos.workload.thresholds import threshold

OURS = "perfchaos"
# The others' workers; ours opens as many connections as it needs.
_RATE_WORKERS_COUNT = 20
_CAPACITY_WORKERS_COUNT = 100  # a view of 4 ms lets twenty of them get through 5,000/s at most
_PROMISES = ("p99<500ms", "errors<1%", "dropped<=0")
_STILL = BODY.replace("{uuid}", "0" * 36)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Latencies in milliseconds, and what was acknowledged a second."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    rate_per_s: float


def rate_seen(tools: Tools, name: str, url: str, rate_per_s: float, duration_s: float) -> Seen:
    """What the generator reports after `duration_s` at a fixed rate."""
    if name == OURS:
        return _ours(url, rate_per_s, duration_s)
    return _other(tools, name, url, rate_per_s, duration_s)


def greatest_seen_per_s(tools: Tools, name: str, url: str, duration_s: float) -> float:
    """What another generator gets through with all of its workers busy."""
    return _other(tools, name, url, None, duration_s).rate_per_s


def capacity_found_per_s(url: str, near_per_s: float) -> float:
    """What our search confirms, NaN for nothing; it is told the neighbourhood, to be short."""
    search = SearchPlan(
        start_per_s=max(near_per_s * 0.8, 1.0), max_per_s=near_per_s * 1.3, step_s=2.0, hold_s=4.0
    )
    plan = _plan(url, search.start_per_s, search.step_s)
    with tempfile.TemporaryDirectory() as folder:
        stepper = TargetStepper(plan, [threshold(text) for text in _PROMISES], Path(folder))
        try:
            return find_capacity(stepper.run_step, search).held_per_s or math.nan
        except PerfchaosError:  # "The target did not recover": of a sound server, a false answer.
            return math.nan


def _ours(url: str, rate_per_s: float, duration_s: float) -> Seen:
    with tempfile.TemporaryDirectory() as folder:
        with start_workload(_plan(url, rate_per_s, duration_s), Path(folder)) as workload:
            workload.wait_ready()
            workload.wait()
        window = Recording.open(workload.recording_path).whole()
        p50_ms, p99_ms, max_ms = (window.latency_ms(share) or math.nan for share in (0.5, 0.99, 1))
        acked_per_s = window.acked_count / duration_s
        return Seen(p50_ms=p50_ms, p99_ms=p99_ms, max_ms=max_ms, rate_per_s=acked_per_s)


def _plan(url: str, rate_per_s: float, duration_s: float) -> Plan:
    request = RequestTemplate(url=url, headers=(("Content-Type", "application/json"),), body=_STILL)
    return Plan(request=request, load=Arrivals.constant(rate_per_s), seed=1, duration_s=duration_s)


def _other(tools: Tools, name: str, url: str, rate_per_s: float | None, duration_s: float) -> Seen:
    program, duration = str(tools.programs[name]), f"{duration_s:g}s"
    workers = str(_CAPACITY_WORKERS_COUNT if rate_per_s is None else _RATE_WORKERS_COUNT)
    if name == "k6":
        environment = {"URL": url, "VUS": workers, "DURATION_S": f"{duration_s:g}"}
        if rate_per_s is not None:
            environment["RATE"] = f"{rate_per_s:.0f}"
        script = str(SCRIPTS / "k6_judge.js")
        said = _said([program, "run", "--quiet", "--no-usage-report", script], environment)
        k6 = json.loads(said.splitlines()[-1])
        return Seen(p50_ms=k6["p50"], p99_ms=k6["p99"], max_ms=k6["max"], rate_per_s=k6["rate"])
    if name == "oha":
        # Corrected, so that latency counts from the moment a request was due.
        rate = ["-q", f"{rate_per_s:.0f}", "--latency-correction"] if rate_per_s else []
        how = ["-z", duration, "-w", "-c", workers, "--no-tui", "--output-format", "json"]
        what = ["-m", "POST", "-T", "application/json", "-d", _STILL]
        return _of_oha(json.loads(_said([program, *how, *rate, *what, url], {})))
    script = str(SCRIPTS / "post.lua")
    said = _said([program, "-t", "1", "-c", workers, "-d", duration, "-s", script, url], {})
    per_s = float(said.partition("Requests/sec:")[2].split()[0])
    return Seen(p50_ms=math.nan, p99_ms=math.nan, max_ms=math.nan, rate_per_s=per_s)


def _of_oha(report: dict[str, dict[str, float]]) -> Seen:
    shares, summary = report["latencyPercentiles"], report["summary"]
    return Seen(
        p50_ms=shares["p50"] * 1000,
        p99_ms=shares["p99"] * 1000,
        max_ms=summary["slowest"] * 1000,
        rate_per_s=summary["requestsPerSec"] * summary["successRate"],
    )


def _said(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | environment,
        text=True,
    )
    return done.stdout
