"""
The recovery times of a real service whose outage is known, under real load.

The service keeps its own book: when it first committed again, and from when on it refused nothing.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from perfchaos.measure.recovery import Backlog as Looks
from perfchaos.measure.recovery import Disturbance, baseline_of, recovery
from perfchaos.measure.requests import Requests
from perfchaos.recording import Recording
from perfchaos.workload.arrivals import Arrivals
from perfchaos.workload.plan import Plan, RequestTemplate
from perfchaos.workload.process import start_workload

RATE_PER_S = 200
S = 1_000_000_000
BAR_S = 0.05
WINDOW_S = 1.0

# After the first request, in seconds: the outage begins, half succeed, all do, the load ends.
DOWN_S, HALF_S, WELL_S, END_S = 1.5, 2.7, 3.4, 5.0


@dataclass(slots=True)
class Script:
    """What the service does when, and what it has done: (reply sent at, status) in that order."""

    hangs: bool
    began_ns: int = 0
    book: list[tuple[int, int]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def status(self, number: int) -> int:
        """The answer to a request that came now; one in two succeeds while half do."""
        with self.lock:
            self.began_ns = self.began_ns or time.monotonic_ns()
        at_s = (time.monotonic_ns() - self.began_ns) / S
        if DOWN_S <= at_s < HALF_S:
            if not self.hangs:
                return 503
            # Whoever still waits when the service is back gets its answer then.
            time.sleep(HALF_S - at_s)
        elif HALF_S <= at_s < WELL_S and number % 2:
            return 503
        return 202

    def enter(self, status: int) -> None:
        with self.lock:
            self.book.append((time.monotonic_ns(), status))

    def first_write_ns(self) -> int:
        """When it first said yes after the outage had begun."""
        back_ns = self.began_ns + round(HALF_S * S)
        return min(at_ns for at_ns, status in self.book if status == 202 and at_ns >= back_ns)

    def sustained_ns(self) -> int:
        """When it first said yes after its last no."""
        last_ns = max(at_ns for at_ns, status in self.book if status == 503)
        return min(at_ns for at_ns, status in self.book if at_ns > last_ns)


@contextmanager
def service(script: Script) -> Iterator[int]:
    """The port of a service that follows the script."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = script.status(int(body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()  # This sends it.
            script.enter(status)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("hangs", [False, True])
def test_first_write_and_sustained_success_are_found_when_they_happened(
    hangs: bool, tmp_path: Path
) -> None:
    script = Script(hangs=hangs)
    with service(script) as port:
        request = RequestTemplate(
            method="POST",
            url=f"http://127.0.0.1:{port}/",
            body="{n}",
            acknowledged=(202,),
            timeout_s=0.6,
        )
        plan = Plan(
            request=request,
            load=Arrivals.constant(RATE_PER_S),
            seed=1,
            duration_s=END_S,
            connections_max=400,
        )
        with start_workload(plan, tmp_path) as workload:
            workload.wait()
    recording = Recording.open(workload.recording_path)
    requests = Requests.of(recording, until_ns=recording.epoch_ns + round(END_S * S))
    down_ns = script.began_ns + round(DOWN_S * S)
    fault = Disturbance(
        kind="crash",
        fault_ns=down_ns,
        in_force_ns=down_ns,
        healed_ns=None,
        until_ns=requests.known_until_ns,
    )
    no_looks = requests.intended_ns[:0]
    baseline = baseline_of(
        requests.between(0, down_ns - S // 10), Looks(at_ns=no_looks, waiting_count=no_looks)
    )
    assert baseline is not None
    found = recovery(requests, fault, baseline, None, origin="fault", window_s=WINDOW_S)
    assert found is not None
    assert found.first_write is not None
    assert found.sustained is not None
    first_write_s = (script.first_write_ns() - down_ns) / S
    sustained_s = (script.sustained_ns() - down_ns) / S
    assert found.first_write.after_s == pytest.approx(first_write_s, abs=BAR_S)
    assert found.sustained.after_s == pytest.approx(sustained_s, abs=BAR_S)
    assert found.first_write.after_s == pytest.approx(HALF_S - DOWN_S, abs=0.25)
    assert found.sustained.after_s == pytest.approx(WELL_S - DOWN_S, abs=0.25)
