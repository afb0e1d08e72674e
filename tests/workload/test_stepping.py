"""A target that acknowledges nothing is named before any search."""

import socket
from collections.abc import Callable

import pytest

from perfchaos.errors import PerfchaosError
from perfchaos.workload.arrivals import Arrivals
from perfchaos.workload.plan import Plan, RequestTemplate
from perfchaos.workload.stepping import TargetStepper
from perfchaos.workload.thresholds import threshold
from tests.workload.conftest import OK, Behaviour, Server, replying

_MOVED = b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"

Serve = Callable[[Behaviour], Server]


def stepper(url: str) -> TargetStepper:
    request = RequestTemplate(url=url, method="GET", timeout_s=1.0)
    plan = Plan(request=request, load=Arrivals.constant(50.0), seed=1, duration_s=1.0)
    return TargetStepper(plan, [threshold("errors<1%")])


def refused(url: str) -> str:
    with pytest.raises(PerfchaosError) as caught:
        stepper(url).run_step(50.0, 5.0)
    return str(caught.value)


def speaking_plainly(connection: socket.socket) -> None:
    connection.recv(1)
    connection.sendall(OK)


def test_a_port_that_nobody_listens_on_is_named(unused_port: int) -> None:
    assert "connection refused" in refused(f"http://127.0.0.1:{unused_port}/")


def test_a_name_that_cannot_be_looked_up_is_named() -> None:
    assert "name not found" in refused("http://nobody.invalid/")


def test_tls_that_fails_is_named(serve: Serve) -> None:
    assert "tls" in refused(serve(speaking_plainly).url().replace("http:", "https:"))


def test_a_redirect_is_named(serve: Serve) -> None:
    assert "302" in refused(serve(replying(_MOVED)).url())


def test_a_target_that_answers_is_stepped(serve: Serve) -> None:
    step = stepper(serve(replying(OK)).url()).run_step(20.0, 1.0)
    assert not step.breaches
    assert step.error_ratio == 0
