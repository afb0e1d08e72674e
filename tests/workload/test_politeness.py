"""Connections as a polite client has them: none that is open for nothing."""

import socket
import threading
from collections.abc import Callable

import pytest

from perfchaos.workload.arrivals import Arrivals
from perfchaos.workload.plan import RequestTemplate
from tests.workload.conftest import OK, Behaviour, Drive, Server, read_request, replying

Serve = Callable[[Behaviour], Server]


def answering_once(connection: socket.socket) -> None:
    """As gunicorn's default workers do."""
    read_request(connection)
    connection.sendall(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))


def one_at_a_time() -> Behaviour:
    """Serves a connection to its end before it turns to the next, as a single worker does."""
    worker = threading.Lock()

    def behave(connection: socket.socket) -> None:
        with worker:
            while True:
                read_request(connection)
                threading.Event().wait(0.01)
                connection.sendall(OK)

    return behave


@pytest.mark.parametrize("rate_per_s", [5.0, 200.0])
def test_a_server_that_closes_after_each_reply_sees_a_connection_a_request(
    serve: Serve, drive: Drive, rate_per_s: float
) -> None:
    server = serve(answering_once)
    load = Arrivals.constant(rate_per_s, duration_s=10 / rate_per_s)
    driven = drive(RequestTemplate(url=server.url(), timeout_s=2), load=load)
    assert driven.tally.acked_count == 10
    # Every connection carries a request, or is closed at once for another was quicker.
    assert 10 <= server.connection_count <= 20


def test_before_the_first_request_nothing_is_opened_and_then_one_for_it(
    serve: Serve, drive: Drive
) -> None:
    server = serve(replying(OK))
    load = Arrivals.constant(1.0, duration_s=0.3)
    driven = drive(RequestTemplate(url=server.url(), timeout_s=2), load=load)
    assert (driven.tally.acked_count, server.connection_count) == (1, 1)


def test_without_keep_alive_every_request_asks_to_close_and_has_its_own(
    serve: Serve, drive: Drive
) -> None:
    heads = []

    def behave(connection: socket.socket) -> None:
        while True:
            heads.append(read_request(connection))
            connection.sendall(OK)  # It does not close, whatever it was asked.

    server = serve(behave)
    driven = drive(RequestTemplate(url=server.url(), timeout_s=2), keep_alive=False)
    assert driven.tally.acked_count == len(heads) <= server.connection_count
    assert all(b"\r\nConnection: close\r\n" in head for head in heads)


def test_an_idle_connection_is_parted_with_after_its_time(serve: Serve, drive: Drive) -> None:
    server = serve(replying(OK))
    load = Arrivals.constant(2.0, duration_s=1.5)
    request = RequestTemplate(url=server.url(), timeout_s=2)
    drive(request, load=load, idle_max_s=0.1)
    assert server.connection_count > 1


def test_a_server_that_waits_on_idle_connections_is_noticed_and_spared(
    serve: Serve, drive: Drive
) -> None:
    """Two requests at once need two connections, and the second waits for the end of the first."""
    server = serve(one_at_a_time())
    request = RequestTemplate(url=server.url(), timeout_s=2)
    load = Arrivals.constant(40.0, duration_s=3.0, poisson=True)
    driven = drive(request, load=load, idle_max_s=30.0)
    assert driven.tally.acked_count == driven.tally.planned_count
    assert driven.tally.held_up_count >= 1


def test_a_slow_server_that_serves_many_at_once_is_not_accused(serve: Serve, drive: Drive) -> None:
    def behave(connection: socket.socket) -> None:
        while True:
            read_request(connection)
            threading.Event().wait(0.15)
            connection.sendall(OK)

    server = serve(behave)
    load = Arrivals.constant(40.0, duration_s=1.0, poisson=True)
    driven = drive(RequestTemplate(url=server.url(), timeout_s=2), load=load)
    assert driven.tally.acked_count == driven.tally.planned_count
    assert driven.tally.held_up_count == 0
