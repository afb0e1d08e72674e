"""One run of one generator against the benchmark's server, and what it cost."""

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.tools import SCRIPTS, Tools
from perfchaos.errors import PerfchaosError
from perfchaos.recording import Recording
from perfchaos.workload.arrivals import Arrivals
from perfchaos.workload.plan import ClosedLoop, Plan, RequestTemplate, Signing
from perfchaos.workload.tally import Tally

KEY = "a-key-of-the-benchmark"
GENERATOR_CORE, SERVER_CORE = 0, 1
_SETTLE_S = 0.5  # after the first request
_EARLY_S = 0.3  # before the end
BODY = '{"id":"{uuid}","text":"' + "x" * 380 + '"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """
    What a generator is to do.

    Open at `rate_per_s`, or closed where that is None; with at most `workers_count` connections.
    """

    signed: bool
    workers_count: int
    duration_s: float
    rate_per_s: float | None = None
    freeze_ms: int = 0
    freeze_every_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """
    What a run cost and what the generator said.

    CPU and requests of the steady middle of the run: start-up and reporting are nobody's. Counts
    are the server's own.
    """

    steady_cpu_s: float
    steady_count: int
    steady_s: float
    served_count: int
    reported_ms: dict[str, float]
    server_start_ns: int
    tally: Tally | None = None
    lateness_ms: tuple[float, float] | None = None
    epoch_ns: int = 0

    @property
    def cpu_us_per_request(self) -> float:
        return self.steady_cpu_s / max(self.steady_count, 1) * 1e6

    @property
    def cpu_ratio(self) -> float:
        return self.steady_cpu_s / self.steady_s

    @property
    def rate_per_s(self) -> float:
        return self.steady_count / self.steady_s


class Server:
    """The benchmark's server, on its own core."""

    def __init__(self, tools: Tools, job: Job) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        freeze = [str(job.freeze_ms), str(job.freeze_every_ms)] if job.freeze_ms else []
        self.process = subprocess.Popen(
            pinned(SERVER_CORE, [str(tools.server), str(self.port), *freeze]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.start_ns = int(self.process.stdout.readline().split()[1])

    def served_count(self) -> int:
        """How many requests it has served so far."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline().split()[1])


@contextmanager
def _serving(tools: Tools, job: Job) -> Iterator[Server]:
    server = Server(tools, job)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()
        for pipe in (server.process.stdin, server.process.stdout):
            if pipe is not None:
                pipe.close()


def run_tool(tools: Tools, name: str, job: Job) -> Run:
    """One run of another generator."""
    with _serving(tools, job) as server:
        url = f"http://127.0.0.1:{server.port}/"
        output, run = _run(_command(tools, name, job, url), _environment(job, url), server, job)
    lines = [line for line in output.splitlines() if line.startswith("{")]
    reported = json.loads(lines[-1]) if lines and name not in {"k9", "wrk"} else {}
    return dataclasses.replace(run, reported_ms=reported or _hey_reported(output))


def run_perfchaos(tools: Tools, job: Job) -> Run:
    """One run of this project's engine, recording included."""
    with _serving(tools, job) as server, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.json"
        path.write_text(json.dumps(_plan(job, f"http://127.0.0.1:{server.port}/").to_json()))
        command = [sys.executable, "-m", "perfchaos.workload", str(path)]
        output, run = _run(command, {"KEY": KEY}, server, job)
        recording = Recording.open(Path(folder) / "recording")
        window = recording.whole()
        shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99_9": 0.999, "max": 1.0}
        ended = json.loads(output.splitlines()[-1])
        ended.pop("event")
        return dataclasses.replace(
            run,
            reported_ms={name: window.latency_ms(share) or 0.0 for name, share in shares.items()},
            tally=Tally(**ended),
            lateness_ms=(window.lateness_ms(0.5) or 0.0, window.lateness_ms(0.99) or 0.0),
            epoch_ns=recording.epoch_ns,
        )


def _run(
    command: list[str], environment: dict[str, str], server: Server, job: Job
) -> tuple[str, Run]:
    process = subprocess.Popen(
        pinned(GENERATOR_CORE, command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | environment,
        text=True,
    )
    try:
        while not server.served_count() and process.poll() is None:
            time.sleep(0.02)
        if process.poll() is not None:
            raise PerfchaosError(
                f"{command[0]} ended with {process.returncode} before it had sent anything",
                next_step=f"run it by hand: {' '.join(command)}",
            )
        time.sleep(_SETTLE_S)
        begun_s, cpu_s, count = time.monotonic(), _cpu_s(process.pid), server.served_count()
        time.sleep(max(job.duration_s - _SETTLE_S - _EARLY_S, 0.5))
        steady_cpu_s = _cpu_s(process.pid) - cpu_s
        steady_count, steady_s = server.served_count() - count, time.monotonic() - begun_s
        assert process.stdout is not None
        output = process.stdout.read()
        process.communicate()
    finally:
        process.kill()
    return output, Run(
        steady_cpu_s=steady_cpu_s,
        steady_count=steady_count,
        steady_s=steady_s,
        served_count=server.served_count(),
        reported_ms={},
        server_start_ns=server.start_ns,
    )


def pinned(core: int, command: list[str]) -> list[str]:
    """The command, to be run on one core."""
    return [shutil.which("taskset") or "taskset", "-c", str(core), *command]


def _cpu_s(pid: int) -> float:
    """User and system time so far, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _plan(job: Job, url: str) -> Plan:
    signing = Signing(header="X-Signature", prefix="sha256=", secret_env="KEY")  # noqa: S106
    request = RequestTemplate(
        url=url,
        headers=(("Content-Type", "application/json"),),
        body=BODY if job.signed else BODY.replace("{uuid}", "0" * 36),
        signing=signing if job.signed else None,
    )
    closed = job.rate_per_s is None
    return Plan(
        request=request,
        load=ClosedLoop(in_flight_count=job.workers_count)
        if job.rate_per_s is None
        else Arrivals.constant(job.rate_per_s),
        seed=1,
        duration_s=job.duration_s,
        connections_max=max(job.workers_count, 1) if not closed else 500,
    )


def _environment(job: Job, url: str) -> dict[str, str]:
    given = {
        "URL": url,
        "KEY": KEY,
        "SIGNED": "1" if job.signed else "0",
        "VUS": str(job.workers_count),
        "DURATION_S": f"{job.duration_s:g}",
    }
    return given if job.rate_per_s is None else given | {"RATE": f"{job.rate_per_s:g}"}


def _command(tools: Tools, name: str, job: Job, url: str) -> list[str]:
    program = tools.programs["python" if name in {"aiohttp", "httpx"} else name]
    duration = f"{job.duration_s:g}s"
    workers = str(job.workers_count)
    return {
        "k6": [str(program), "run", "--quiet", "--no-usage-report", str(SCRIPTS / "k6.js")],
        "locust": [
            *(str(program), "-f", str(SCRIPTS / "locustfile.py"), "--headless", "--only-summary"),
            *("-u", workers, "-r", workers, "-t", duration),
        ],
        "aiohttp": [str(program), str(SCRIPTS / "client.py"), "aiohttp"],
        "httpx": [str(program), str(SCRIPTS / "client.py"), "httpx"],
        "vegeta": [str(program)],
        "wrk": [
            *(str(program), "-t", "1", "-c", workers, "-d", duration),
            *("-s", str(SCRIPTS / "post.lua"), url),
        ],
        "hey": [
            *(str(program), "-z", duration, "-c", workers, "-m", "POST", "-cpus", "1"),
            *("-T", "application/json", "-d", BODY.replace("{uuid}", "0" * 36), "-o", "csv"),
            *(("-q", f"{job.rate_per_s / job.workers_count:g}") if job.rate_per_s else ()),
            url,
        ],
        "k9": [str(program), "run", "-u", workers, "-d", duration, _k9_plan(tools, url)],
    }[name]


def _k9_plan(tools: Tools, url: str) -> str:
    request = {"url": url, "method": "POST", "body": BODY.replace("{uuid}", "0" * 36)}
    path = tools.server.parent / "k9-plan.json"
    path.write_text(json.dumps({"flows": {"default": [{"request": request}]}}))
    return str(path)


def _hey_reported(output: str) -> dict[str, float]:
    """hey's CSV: the response time in seconds comes first."""
    rows = [line.split(",", 1)[0] for line in output.splitlines()[1:] if "," in line]
    try:
        times_ms = sorted(float(row) * 1000 for row in rows)
    except ValueError:
        return {}
    if not times_ms:
        return {}
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99_9": 0.999, "max": 1.0}
    return {k: times_ms[max(-int(-q * len(times_ms) // 1), 1) - 1] for k, q in shares.items()}
