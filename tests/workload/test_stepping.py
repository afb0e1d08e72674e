"""A target that acknowledges nothing is named before any search."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from perfchaos.errors import PerfchaosError
from perfchaos.ledger import Fates
from perfchaos.recording.ids import number_of
from perfchaos.recording.layout import NUMBER_MAX
from perfchaos.workload.arrivals import Arrivals
from perfchaos.workload.plan import Plan, RequestTemplate
from perfchaos.workload.stepping import TargetStepper
from perfchaos.workload.thresholds import threshold
from tests.workload.conftest import OK, Behaviour, Server, read_request, replying

SEED = 1
_MOVED = b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"

Serve = Callable[[Behaviour], Server]


def stepper(url: str, folder: Path) -> TargetStepper:
    request = RequestTemplate(url=f"{url}{{uuid}}", method="GET", timeout_s=1.0)
    plan = Plan(request=request, load=Arrivals.constant(50.0), seed=SEED, duration_s=1.0)
    return TargetStepper(plan, [threshold("errors<1%")], folder)


Refused = Callable[[str], str]


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Says how a step against a URL is refused."""

    def say(url: str) -> str:
        with pytest.raises(PerfchaosError) as caught:
            stepper(url, tmp_path).run_step(50.0, 5.0)
        return str(caught.value)

    return say


def speaking_plainly(connection: socket.socket) -> None:
    connection.recv(1)
    connection.sendall(OK)


def test_a_port_that_nobody_listens_on_is_named(refused: Refused, unused_port: int) -> None:
    assert "connection refused" in refused(f"http://127.0.0.1:{unused_port}/")


def test_a_name_that_cannot_be_looked_up_is_named(refused: Refused) -> None:
    assert "name not found" in refused("http://nobody.invalid/")


def test_tls_that_fails_is_named(refused: Refused, serve: Serve) -> None:
    assert "tls" in refused(serve(speaking_plainly).url().replace("http:", "https:"))


def test_a_redirect_is_named(refused: Refused, serve: Serve) -> None:
    assert "302" in refused(serve(replying(_MOVED)).url())


def test_a_target_that_answers_is_stepped(serve: Serve, tmp_path: Path) -> None:
    step = stepper(serve(replying(OK)).url(), tmp_path).run_step(20.0, 1.0)
    assert not step.breaches
    assert step.error_ratio == 0


def test_what_every_step_sent_is_known_by_number(serve: Serve, tmp_path: Path) -> None:
    """To the last request of the light load before the first step, and never twice the same."""
    received: list[int | None] = []

    def behave(connection: socket.socket) -> None:
        while True:
            path = read_request(connection).split()[1].decode()
            received.append(number_of(SEED, path[1:]))
            connection.sendall(OK)

    steps = stepper(serve(behave).url(), tmp_path)
    steps.run_step(20.0, 1.0)
    steps.run_step(30.0, 1.0)
    acked = Fates.of(steps.recordings).acked.tolist()
    assert len(steps.recordings) == 3
    assert acked == sorted(number for number in received if number is not None)
    assert len(set(acked)) == len(received) > 50
    assert acked[0] > NUMBER_MAX  # What lies below is the run's own load's.
