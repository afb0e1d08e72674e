"""The witness sees what is there, and nothing that is not."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from perfchaos.errors import PerfchaosError
from perfchaos.faults import Fate, Route, Symptom, Witness
from perfchaos.faults.witness import Ping
from tests.lab import Lab

UNANSWERED = (Fate.SILENT, Fate.CLOSED, Fate.REFUSED)


@contextmanager
def answering(*answers: bytes) -> Iterator[Route]:
    """A Redis that gives these answers, one a connection, the last for ever."""
    left = list(answers)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                answer = left.pop(0) if len(left) > 1 else left[0]
                try:
                    while connection.recv(100):
                        connection.sendall(answer)
                except OSError:
                    continue

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield Route(protocol="redis", host="127.0.0.1", port=listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def ping(fate: Fate, took_ms: float = 1.0) -> Ping:
    return Ping(sent_ns=0, done_ns=round(took_ms * 1e6), fate=fate)


ROUTE = Route(protocol="redis", host="127.0.0.1", port=1)


@pytest.mark.parametrize(
    ("symptom", "seen", "shows"),
    [
        (Symptom(route=ROUTE, fates=(Fate.SILENT,)), ping(Fate.SILENT), True),
        (Symptom(route=ROUTE, fates=(Fate.SILENT,)), ping(Fate.REFUSED), False),
        (Symptom(route=ROUTE, fates=(Fate.SILENT,)), ping(Fate.ANSWERED, 900), False),
        (Symptom(route=ROUTE, delay_ms=30), ping(Fate.ANSWERED, 29.9), False),
        (Symptom(route=ROUTE, delay_ms=30), ping(Fate.ANSWERED, 30), True),
        (Symptom(route=ROUTE, delay_ms=30), ping(Fate.SILENT, 250), True),
    ],
)
def test_a_ping_shows_a_symptom_or_not(symptom: Symptom, seen: Ping, shows: bool) -> None:
    assert symptom.shows_in(seen) is shows


@pytest.mark.parametrize(
    ("ratio", "connections", "discernible"),
    [(1.0, 1, True), (0.5, 20, True), (0.1, 132, True), (0.066, 203, False), (0.0, 1, False)],
)
def test_a_partial_fault_takes_many_connections(
    ratio: float, connections: int, discernible: bool
) -> None:
    symptom = Symptom(route=ROUTE, fates=UNANSWERED, ratio=ratio)
    assert symptom.discernible is discernible
    if ratio > 0:
        assert symptom.connections == connections


def test_a_healthy_route_shows_nothing(lab: Lab) -> None:
    symptom = Symptom(route=lab.proxied.route, fates=UNANSWERED)
    with Witness(symptom, healthy=True) as witness:
        assert witness.sees(since_ns=time.monotonic_ns(), within_s=0.2) is None


def test_a_password_is_not_needed() -> None:
    with (
        answering(b"-NOAUTH Authentication required.\r\n") as route,
        Witness(Symptom(route=route, fates=UNANSWERED), healthy=True) as witness,
    ):
        assert witness.sees_normal(since_ns=0, within_s=2) is not None


@pytest.mark.parametrize(
    "answer", [b"-LOADING Redis is loading\r\n", b"-ERR max number of cli\r\n"]
)
def test_not_ready_is_not_normal(answer: bytes) -> None:
    with (
        answering(answer) as route,
        pytest.raises(PerfchaosError, match="pings were not ready"),
        Witness(Symptom(route=route, fates=UNANSWERED), healthy=True),
    ):
        pass


def test_a_route_that_is_down_before_the_fault_is_an_error() -> None:
    with (
        pytest.raises(PerfchaosError, match="not healthy before the fault: pings were refused"),
        Witness(Symptom(route=ROUTE, fates=UNANSWERED), healthy=True),
    ):
        pass


def test_the_moment_it_comes_back_is_seen(lab: Lab) -> None:
    symptom = Symptom(route=lab.proxied.route, fates=(Fate.CLOSED, Fate.REFUSED))
    with lab.server() as api:
        api.set_enabled("redis", enabled=False)
        with Witness(symptom, healthy=False) as witness:
            assert witness.sees(since_ns=0, within_s=2) is not None
            enabling_ns = time.monotonic_ns()
            api.set_enabled("redis", enabled=True)
            back = witness.sees_normal(since_ns=enabling_ns, within_s=5)
    assert back is not None
    assert back.at_ns > enabling_ns
    assert back.fate is Fate.ANSWERED


@pytest.mark.parametrize(
    ("reply", "fate"),
    [
        (b"R\0\0\0\x08\0\0\0\x05", Fate.ANSWERED),
        (b"E\0\0\0\x20SFATAL\0C28P01\0Mno\0\0", Fate.ANSWERED),
        (b"E\0\0\0\x20SFATAL\0C57P03\0Mthe database system is starting up\0\0", Fate.NOT_READY),
        (b"E\0\0\0\x20SFATAL\0C53300\0Mtoo many clients\0\0", Fate.NOT_READY),
    ],
)
def test_postgres_has_answered_when_it_asks_who_is_there(reply: bytes, fate: Fate) -> None:
    with answering(reply) as redis:
        route = Route(protocol="postgres", host=redis.host, port=redis.port, user="u", database="d")
        symptom = Symptom(route=route, fates=(fate,))
        with Witness(symptom, healthy=False) as witness:
            seen = witness.sees(since_ns=0, within_s=5)
    assert seen is not None
    assert seen.fate is fate
