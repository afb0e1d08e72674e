"""The fallback ratio against the known truth: real load on a target whose failures are scripted."""

import re
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from perfchaos.ledger import Fates, Held, reconcile
from perfchaos.measure.fallback import goodput_ratio, stretches
from perfchaos.measure.phases import samples_of
from perfchaos.recording import Recording
from perfchaos.recording.ids import number_of
from perfchaos.timeline import Phase, Span
from perfchaos.workload.arrivals import Arrivals
from perfchaos.workload.plan import Plan, RequestTemplate
from perfchaos.workload.process import start_workload
from tests.workload.conftest import Server

SEED = 42
RATE_PER_S = 200
BASELINE, OUTAGE = 400, 600  # requests
PERIOD_NS = 1_000_000_000 // RATE_PER_S


class Scripted:
    """
    Acks and keeps, but for what the script says of a request's number.

    In the baseline one in fifty is refused. In the outage three of ten are refused, one is acked
    and not kept, and one is kept but not acked, so that half of the work is good.
    """

    def __init__(self) -> None:
        self.kept: set[int] = set()
        self._lock = threading.Lock()

    def __call__(self, connection: socket.socket) -> None:
        while request := _request(connection):
            number = number_of(SEED, request)
            assert number is not None
            keeps, answer = _script(number)
            if keeps:
                with self._lock:
                    self.kept.add(number)
            if answer is None:
                return
            connection.sendall(answer)


def _script(number: int) -> tuple[bool, bytes | None]:
    """Whether the request is kept, and how it is answered; None cuts the connection."""
    accepted, refused = (
        f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()
        for status in ("202 Accepted", "503 Service Unavailable")
    )
    if number < BASELINE:
        return (False, refused) if number % 50 == 0 else (True, accepted)
    match number % 10:
        case 0 | 1 | 2:
            return False, refused
        case 3:
            return False, accepted
        case 4:
            return True, None
        case _:
            return True, accepted


def _request(connection: socket.socket) -> str | None:
    """The id in the next request; None at the end of the connection."""
    received = b""
    while not (found := re.search(rb"\r\n\r\n([0-9a-f-]{36})", received)):
        chunk = connection.recv(4096)
        if not chunk:
            return None
        received += chunk
    return found[1].decode()


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


def test_the_ratio_is_the_scripted_truth_within_two_points(
    scripted: Scripted, tmp_path: Path
) -> None:
    server = Server(scripted)
    plan = Plan(
        request=RequestTemplate(url=server.url(), body="{uuid}", acknowledged=(202,), timeout_s=2),
        load=Arrivals.constant(RATE_PER_S, duration_s=(BASELINE + OUTAGE) / RATE_PER_S),
        seed=SEED,
    )
    workload = start_workload(plan, tmp_path)
    try:
        workload.wait_ready()
        workload.wait()
    finally:
        workload.stop()
        server.close()
    recording = Recording.open(workload.recording_path)
    begun_ns, harmed_ns = recording.epoch_ns, recording.epoch_ns + BASELINE * PERIOD_NS
    ended_ns = begun_ns + (BASELINE + OUTAGE) * PERIOD_NS
    spans = (
        Span(phase=Phase.BASELINE, start_ns=begun_ns, end_ns=harmed_ns),
        Span(phase=Phase.OUTAGE, start_ns=harmed_ns, end_ns=ended_ns),
    )
    kept = np.array(sorted(scripted.kept), dtype=np.int64)
    ledger = reconcile(
        Fates.of([recording]),
        Held(numbers=kept, counts=np.ones_like(kept)),
        np.empty(0, dtype=np.int64),
    )
    baseline, outage = (
        samples_of(recording, spans, phase, now_ns=ended_ns)
        for phase in (Phase.BASELINE, Phase.OUTAGE)
    )
    found = goodput_ratio(
        outage,
        baseline,
        ledger,
        Phase.OUTAGE,
        epoch_ns=recording.epoch_ns,
        lived=stretches((), spans, Phase.OUTAGE, now_ns=ended_ns),
    )
    truth = 0.5 / 0.98
    assert found.value == pytest.approx(truth, abs=0.02)
    low, high = found.evidence["interval_95_low"], found.evidence["interval_95_high"]
    assert isinstance(low, float)
    assert isinstance(high, float)
    assert low < truth < high
    # And to the last message: what was acked and not kept is lost, what was cut is recovered.
    tenths = np.arange(BASELINE, BASELINE + OUTAGE)
    assert ledger.lost.tolist() == tenths[tenths % 10 == 3].tolist()
    assert ledger.recovered.tolist() == tenths[tenths % 10 == 4].tolist()
