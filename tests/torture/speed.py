"""
How fast a fault is in force and gone, as read on the data plane beside many live connections.

    python -m tests.torture.speed --connections 200 --repeats 20
"""

import argparse
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from perfchaos.processes import Process
from perfchaos.safety import LeaseFile, RunRecord, SafetyNet, inject
from perfchaos.timeline import Timeline
from tests.lab import BLAST_RADIUS, HOST, Lab, open_lab
from tests.safety.driver import FAULTS, fault

_PINGS_PER_S = 10


def main() -> None:
    """Measure every fault and print milliseconds."""
    parser = argparse.ArgumentParser(prog="speed", description=__doc__.split("\n\n")[0])
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="speed-") as place:
        folder = Path(place)
        with open_lab(folder) as lab, _live(lab, arguments.connections):
            for kind in FAULTS:
                _measure(lab, folder, kind, arguments.repeats)


def _measure(lab: Lab, folder: Path, kind: str, repeats: int) -> None:
    run_directory = folder / kind
    run_directory.mkdir()
    timeline = Timeline(run_directory / "timeline.jsonl")
    run = RunRecord(
        run_id=kind, process=Process.current(), run_directory=run_directory, target="lab"
    )
    leases = LeaseFile.create(run)
    net = SafetyNet(run_id=kind, leases=leases, timeline=timeline, blast_radius=BLAST_RADIUS)
    for _ in range(repeats):
        with inject(fault(lab, kind), net, at_most_s=30):
            pass
    leases.retire(run_directory)
    for name in ("fault in force", "fault back to normal"):
        events = [event for event in timeline.events() if event.name == name]
        after = sorted(float(str(event.facts["after_ms"])) for event in events)
        resolution = statistics.median(float(str(e.facts["resolution_ms"])) for e in events)
        print(
            f"{kind:9} {name:20} after p50 {statistics.median(after):6.1f} ms, "
            f"max {after[-1]:6.1f} ms; resolution p50 {resolution:.1f} ms",
            flush=True,
        )


@contextmanager
def _live(lab: Lab, count: int) -> Iterator[None]:
    """So many clients in a process of their own."""
    clients = get_context("spawn").Process(target=_ping_for_ever, args=(lab, count), daemon=True)
    clients.start()
    try:
        yield
    finally:
        clients.kill()
        clients.join()


def _ping_for_ever(lab: Lab, count: int) -> None:
    """Every client pings now and then, and comes back when it is cut."""
    connections: list[socket.socket | None] = [None] * count
    while True:
        for index, connection in enumerate(connections):
            connections[index] = _ping(lab, connection)
        time.sleep(1 / _PINGS_PER_S)


def _ping(lab: Lab, connection: socket.socket | None) -> socket.socket | None:
    """Send without waiting; a connection that failed is opened again next time."""
    try:
        if connection is None:
            connection = socket.create_connection((HOST, lab.proxy_port), timeout=0.05)
            connection.setblocking(False)
        connection.send(b"PING\r\n")
        if not connection.recv(4096):
            raise ConnectionResetError
    except BlockingIOError:
        return connection
    except OSError:
        if connection is not None:
            connection.close()
        return None
    return connection


if __name__ == "__main__":
    main()
