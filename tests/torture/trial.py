"""One trial: `chaos run` with one fault under load, ended in one way at one moment."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from perfchaos import processes
from perfchaos.faults import ToxiproxyAddress, ToxiproxyServer
from perfchaos.process_table import everything, look_up
from perfchaos.timeline import Event, Timeline
from tests.stack.conftest import Stack

_OUTAGE_S = 8.0
# Of a run that is left to end by itself.
_HEALTHY_OUTAGE_S = 2.0
_BEGUN_WITHIN_S = 60.0
_HEALED = ("fault healed", "fault back to normal")
_SETTLES_WITHIN_S = 90.0

# One action for each mechanism, with its arguments.
FAULTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "redis silent": ("actions.redis", "time_out", {}),
    "redis silent, blocking action": ("tests.torture.alarm", "block", {}),
    "redis silent, not applied": ("actions.redis", "time_out", {"commands": "not_applied"}),
    "redis slow": ("actions.redis", "slow_down", {"latency_ms": 100, "jitter_ms": 20}),
    "redis flaky": ("actions.redis", "flake", {"share": 0.5}),
    "redis refused": ("actions.redis", "refuse", {}),
    "redis crash": ("actions.redis", "crash", {}),
    "postgres silent": ("actions.postgres", "hang", {"by": "proxy"}),
    "postgres paused": ("actions.postgres", "hang", {"by": "process"}),
    "postgres refused": ("actions.postgres", "refuse", {}),
    "postgres slow": ("actions.postgres", "slow_down", {"latency_ms": 100}),
    "postgres crash": ("actions.postgres", "crash", {"down_s": 0.0}),
    "postgres restart": ("actions.postgres", "restart", {"down_s": 0.0}),
    "postgres read-only": ("actions.postgres", "make_read_only", {}),
    "postgres connections": ("actions.postgres", "exhaust_connections", {}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """
    When to end a run: so long after its start, or after its first fault was about to be injected.

    One in four falls anywhere, the others where there is something to be left behind.
    """

    after_s: float
    of_the_fault: bool

    @classmethod
    def at_random(cls, rng: random.Random) -> Self:
        """Any moment."""
        if rng.random() < 0.25:
            return cls(after_s=rng.uniform(0, 6), of_the_fault=False)
        # The first milliseconds, while the fault goes in, are the dangerous ones.
        return cls(after_s=rng.choice((0.02, 0.2, 3.0)) * rng.random(), of_the_fault=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """
    What one trial left.

    `healed_ms` is from the end of the run to the last fault seen back to normal; None where no
    fault was in at that moment. `wrong` lists what must not be; `verdict` is None for a run that
    was ended before it had a folder.
    """

    fault: str
    ending: str
    healed_ms: float | None
    verdict: str | None
    wrong: tuple[str, ...]


def end_by(*numbers: signal.Signals) -> "Callable[[Trial], None]":
    """Send these to the run, one after the other."""

    def end(trial: "Trial") -> None:
        for number in numbers:
            trial.chaos.send_signal(number)

    return end


def kill_watchdog(trial: "Trial") -> None:
    """Kill the watchdog only."""
    if (watchdog := trial.watchdog()) is not None:
        os.kill(watchdog, signal.SIGKILL)
    else:
        trial.chaos.kill()


def kill_both(trial: "Trial") -> None:
    """Kill the watchdog and the run, so that neither sees the other die; then heal by command."""
    if (watchdog := trial.watchdog()) is not None:
        os.kill(watchdog, signal.SIGSTOP)
        trial.chaos.kill()
        os.kill(watchdog, signal.SIGKILL)
    trial.chaos.kill()
    trial.chaos.wait()
    trial.stack.run("heal")


def set_off_the_guard(trial: "Trial") -> None:
    """Let the guard's probe read too much."""
    trial.alarm.write_text("100")


def leave_a_stop_file(trial: "Trial") -> None:
    """What `perfchaos stop` leaves."""
    trial.stack.run("stop")


def leave_alone(trial: "Trial") -> None:
    """Let the run end well by itself."""
    trial.chaos.wait()


ENDINGS: "dict[str, Callable[[Trial], None]]" = {
    "SIGKILL": end_by(signal.SIGKILL),
    "SIGTERM": end_by(signal.SIGTERM),
    "SIGINT": end_by(signal.SIGINT),
    "SIGHUP": end_by(signal.SIGHUP),
    "SIGINT twice": end_by(signal.SIGINT, signal.SIGINT),
    "SIGTERM, SIGINT": end_by(signal.SIGTERM, signal.SIGINT),
    "watchdog": kill_watchdog,
    "both": kill_both,
    "guard": set_off_the_guard,
    "perfchaos stop": leave_a_stop_file,
    "left alone": leave_alone,
}


class Trial:
    """A `chaos run` under way in a folder of its own."""

    def __init__(self, stack: Stack, folder: Path, fault: str, ending: str) -> None:
        self.stack, self._folder, self._fault, self._ending = stack, folder, fault, ending
        folder.mkdir()
        self.alarm = folder / "alarm"
        outage_s = _HEALTHY_OUTAGE_S if ending == "left alone" else _OUTAGE_S
        experiment = yaml.safe_dump(_experiment(fault, outage_s, self.alarm))
        (folder / "experiment.yaml").write_text(experiment)
        with (folder / "output").open("w") as output:
            self.chaos = subprocess.Popen(
                [
                    *(str(Path(sys.executable).parent / "chaos"), "--no-version-check"),
                    *("--no-log-file", "run", "experiment.yaml"),
                ],
                cwd=folder,
                env={
                    **stack.environment,
                    "PERFCHAOS_RUNS_DIR": str(folder / "runs"),
                    "PYTHONPATH": str(Path(__file__).parents[2]),
                },
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def live_through(self, moment: Moment) -> Result:
        """End the run at its moment, wait until all is still, and look."""
        if moment.of_the_fault:
            self._see_the_fault_begin()
        time.sleep(moment.after_s)
        ended_ns = time.monotonic_ns()
        in_before = self._in_force()
        ENDINGS[self._ending](self)
        wrong = [] if self._settled() else ["something of the run still runs"]
        # Not every fault can be seen gone by a ping: then it is gone when its undo was read back.
        done = [event.at_ns for event in self._events() if event.name in _HEALED]
        healed = [at_ns for at_ns in done if at_ns > ended_ns]
        healed_ms = (max(healed) - ended_ns) / 1e6 if healed and in_before else None
        return Result(
            fault=self._fault,
            ending=self._ending,
            healed_ms=healed_ms,
            verdict=self._verdict(),
            wrong=(*wrong, *_harmed(self.stack), *self._left()),
        )

    def watchdog(self) -> int | None:
        """The pid of the run's watchdog."""
        children = [entry.pid for entry in everything() if entry.parent == self.chaos.pid]
        return next((pid for pid in children if b"perfchaos.safety" in _command_line(pid)), None)

    def _see_the_fault_begin(self) -> None:
        deadline_s = time.monotonic() + _BEGUN_WITHIN_S
        while time.monotonic() < deadline_s and self.chaos.poll() is None:
            if any(event.name == "fault injected" for event in self._events()):
                return
            time.sleep(0.005)

    def _in_force(self) -> bool:
        names = [event.name for event in self._events()]
        return names.count("fault injected") > names.count("fault healed")

    def _settled(self) -> bool:
        """Wait for the run and whatever was started in its name."""
        deadline_s = time.monotonic() + _SETTLES_WITHIN_S
        while time.monotonic() < deadline_s:
            if self.chaos.poll() is not None and not _belonging_to(self._folder):
                return True
            time.sleep(0.02)
        return False

    def _events(self) -> tuple[Event, ...]:
        folder = self._run_directory()
        return Timeline(folder / "timeline.jsonl").events() if folder else ()

    def _verdict(self) -> str | None:
        folder = self._run_directory()
        if folder is None or not (folder / "verdict.json").exists():
            return None
        document: Mapping[str, Any] = json.loads((folder / "verdict.json").read_text())
        return str(document["status"]) if document["ended_at"] else "unfinished"

    def _left(self) -> list[str]:
        leases = [path.name for path in (self.stack.state_dir / "leases").glob("*.jsonl")]
        return [f"open lease {name}" for name in leases]

    def _run_directory(self) -> Path | None:
        latest = self._folder / "runs" / "latest"
        return latest.resolve() if latest.exists() else None


def _experiment(fault: str, outage_s: float, alarm: Path) -> dict[str, Any]:
    module, function, arguments = FAULTS[fault]
    how_long = "down_s" if "down_s" in arguments else "duration_s"
    arguments = {**arguments, how_long: outage_s}
    probe = {"function": "tests.torture.alarm.level", "arguments": {"path": str(alarm)}}
    guard = [
        {"stop_when": "probe", **probe, "above": 10, "window_s": 0.3},
        {"stop_when": "error_ratio", "above": 0.9, "window_s": 5},
        {"stop_when": "latency_p99_ms", "above": 10000, "window_s": 5},
    ]
    workload = {"kind": "webhook", "rate_per_s": 100, "warm_up_s": 0.2, "baseline_s": 0.3}
    control = {"type": "python", "module": "perfchaos.control"}
    return {
        "title": f"torture: {fault}",
        "description": "Ended at a random moment.",
        "runtime": {"rollbacks": {"strategy": "always"}},
        "controls": [
            {
                "name": "perfchaos",
                "provider": {**control, "arguments": {"workload": workload, "guard": guard}},
            }
        ],
        "method": [_action("harm", module, function, arguments)],
        "rollbacks": [_action("heal", "actions.faults", "heal_all", {})],
    }


def _action(name: str, module: str, function: str, arguments: dict[str, Any]) -> dict[str, Any]:
    provider = {"type": "python", "module": module, "func": function, "arguments": arguments}
    return {"name": name, "type": "action", "provider": provider}


def _harmed(stack: Stack) -> list[str]:
    """What is wrong with the stack itself."""
    wrong = []
    with ToxiproxyServer(ToxiproxyAddress(url=f"http://127.0.0.1:{stack.ports.toxiproxy}")) as api:
        for proxy in api.proxies():
            wrong += [f"toxic {toxic.name}" for toxic in proxy.toxics]
            wrong += [] if proxy.enabled else [f"proxy {proxy.name} disabled"]
    for name in ("redis", "postgres"):
        process = processes.running(stack.pid_file(name))
        if process is None or process.paused():
            wrong.append(f"{name} does not run")
    code, said = stack.run("status")
    broken = [line.strip() for line in said.splitlines() if " running " not in line]
    return wrong if code == 0 else [*wrong, *broken]


def _belonging_to(folder: Path) -> list[int]:
    """Processes that run for the trial of this folder, by their command line and environment."""
    mark = str(folder).encode() + b"/"
    return [
        entry.pid
        for entry in everything()
        if entry.pid != os.getpid()
        and (mark in _command_line(entry.pid) or mark in _environment(entry.pid))
        and look_up(entry.pid) is not None
    ]


def _command_line(pid: int) -> bytes:
    return _read(Path(f"/proc/{pid}/cmdline"))


def _environment(pid: int) -> bytes:
    return _read(Path(f"/proc/{pid}/environ"))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
