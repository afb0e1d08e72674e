"""
A run without an experiment: injects faults under a watchdog until it is ended somehow.

    python -m tests.safety.driver <orders.json>

It prints a line `protected <pid of the watchdog>`, one `in force <kind>` for each fault, and in the
end one `ended <why>`. Like Chaos Toolkit it turns SIGTERM and SIGINT into an exception in the main
thread, and dies of SIGHUP and SIGKILL.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perfchaos.errors import PerfchaosError
from perfchaos.faults import DisabledProxy, EndedProcess, Fault, PausedProcess, Toxic
from perfchaos.processes import Process
from perfchaos.safety import LeaseFile, RunRecord, SafetyNet, inject, read_conditions
from perfchaos.safety.watched import watch_over
from perfchaos.timeline import Timeline
from tests.lab import BLAST_RADIUS, Lab


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """
    What a driver is to do: the `faults` one after the other, again and again for `rounds`.

    `blocking` holds them the way a careless action does, by sleeping. `lease_s` is their deadline.
    `recording` is what the guard reads. `deaf` to signals, it has to be killed; it is so soon.
    """

    lab: Lab
    run_directory: Path
    faults: tuple[str, ...]
    hold_s: float = 30.0
    lease_s: float = 50.0
    rounds: int = 1
    blocking: bool = False
    deaf: bool = False
    guard: tuple[dict[str, Any], ...] = ()
    recording: str = ""

    def start(self) -> "subprocess.Popen[str]":
        """A driver in a process of its own, told by a file."""
        path = self.run_directory.with_suffix(".orders.json")
        document = {
            "folder": str(self.lab.folder),
            "ports": [self.lab.redis_port, self.lab.proxy_port, self.lab.api_port],
            "run_directory": str(self.run_directory),
            "faults": self.faults,
            "hold_s": self.hold_s,
            "lease_s": self.lease_s,
            "rounds": self.rounds,
            "blocking": self.blocking,
            "deaf": self.deaf,
            "guard": self.guard,
            "recording": self.recording,
        }
        path.write_text(json.dumps(document))
        return subprocess.Popen(
            [sys.executable, "-m", "tests.safety.driver", str(path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    @classmethod
    def read(cls, path: Path) -> "Orders":
        """What `start` wrote."""
        fields = json.loads(path.read_text())
        redis_port, proxy_port, api_port = fields.pop("ports")
        lab = Lab(
            folder=Path(fields.pop("folder")),
            redis_port=redis_port,
            proxy_port=proxy_port,
            api_port=api_port,
        )
        fields["faults"], fields["guard"] = tuple(fields["faults"]), tuple(fields["guard"])
        return cls(lab=lab, run_directory=Path(fields.pop("run_directory")), **fields)


FAULTS = ("timeout", "latency", "partial", "refused", "hang", "crash", "shutdown")


def fault(lab: Lab, kind: str) -> Fault[Any]:
    """One of `FAULTS`."""
    on, of = lab.proxied, lab.controlled
    found: dict[str, Fault[Any]] = {
        "timeout": Toxic(on=on, type="timeout", attributes={"timeout": 0}),
        "latency": Toxic(on=on, type="latency", attributes={"latency": 100}),
        "partial": Toxic(on=on, type="timeout", toxicity=0.5, attributes={"timeout": 0}),
        "refused": DisabledProxy(on=on),
        "hang": PausedProcess(of=of),
        "crash": EndedProcess(of=of, abruptly=True),
        "shutdown": EndedProcess(of=of, abruptly=False),
    }
    return found[kind]


def main() -> None:
    """Do as ordered."""
    orders = Orders.read(Path(sys.argv[1]))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN if orders.deaf else _interrupt)
    with ExitStack() as stack:
        net = stack.enter_context(_protected(orders))
        try:
            for _ in range(orders.rounds):
                for kind in orders.faults:
                    _live_through(fault(orders.lab, kind), orders, net)
            print("ended well", flush=True)
        except (PerfchaosError, KeyboardInterrupt) as error:
            print(f"ended {type(error).__name__} {net.revocation.reason}", flush=True)


@contextmanager
def _protected(orders: Orders) -> Iterator[SafetyNet]:
    directory = orders.run_directory
    directory.mkdir()
    (directory / "verdict.json").write_text('{"ended_at": null, "status": "failed"}')
    record = RunRecord(
        run_id=directory.name,
        process=Process.current(),
        run_directory=directory,
        target="lab",
    )
    net = SafetyNet(
        run_id=directory.name,
        leases=LeaseFile.create(record),
        timeline=Timeline(directory / "timeline.jsonl"),
        blast_radius=BLAST_RADIUS,
    )
    watched = watch_over(
        net,
        run_directory=directory,
        conditions=read_conditions(orders.guard),
        run_ends_within_s=0.5 if orders.deaf else 60.0,
    )
    watched.wait_ready()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as workload:
        print("protected", watched.watchdog_pid, workload.pid, flush=True)
        watched.workload_started(Process.of(workload.pid), Path(orders.recording))
        try:
            yield net
        finally:
            workload.kill()
            watched.part(verdict="unknown")


def _live_through(one: Fault[Any], orders: Orders, net: SafetyNet) -> None:
    with inject(one, net, at_most_s=orders.lease_s) as injected:
        print("in force", one.kind, flush=True)
        if orders.blocking:
            with suppress(PerfchaosError):
                time.sleep(orders.hold_s)
        else:
            injected.hold(orders.hold_s)


def _interrupt(number: int, frame: object) -> None:
    del number, frame
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
