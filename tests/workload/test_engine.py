"""The engine against real servers, well-behaved and not."""

import hashlib
import hmac
import json
import re
import socket
import threading
import time
from collections.abc import Callable

import pytest

from perfchaos.recording import Outcome
from perfchaos.recording.ids import id_of
from perfchaos.workload.arrivals import Arrivals
from perfchaos.workload.plan import ClosedLoop, RequestTemplate, Signing
from tests.workload.conftest import (
    OK,
    Behaviour,
    Drive,
    Server,
    read_request,
    replying,
    resetting,
)

Serve = Callable[[Behaviour], Server]
PLANNED = 20


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param((OK,), id="one piece"),
        pytest.param((OK[:-2], b"ok"), id="head and body apart"),
        pytest.param(
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"2\r\nok\r\n",
                b"0\r\n\r\n",
            ),
            id="chunked",
        ),
        pytest.param((b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", OK), id="interim"),
        pytest.param((b"HTTP/1.1 204 No Content\r\n\r\n",), id="no body"),
    ],
)
def test_replies_of_every_framing_are_acked_on_kept_connections(
    serve: Serve, drive: Drive, pieces: tuple[bytes, ...]
) -> None:
    server = serve(replying(*pieces))
    one_at_a_time = {"load": ClosedLoop(in_flight_count=1), "duration_s": 0.3}
    driven = drive(RequestTemplate(url=server.url(), timeout_s=2), **one_at_a_time)
    assert driven.tally.acked_count > 1
    assert server.connection_count == 1


def test_a_reply_that_ends_with_the_connection_is_acked(serve: Serve, drive: Drive) -> None:
    server = serve(replying(b"HTTP/1.1 200 OK\r\n\r\n", b"until the end", then_close=True))
    driven = drive(RequestTemplate(url=server.url(), timeout_s=2))
    assert driven.tally.acked_count == PLANNED


def test_a_server_that_ends_connections_costs_no_request(serve: Serve, drive: Drive) -> None:
    """As nginx does after `keepalive_requests`."""

    def behave(connection: socket.socket) -> None:
        for _ in range(2):
            read_request(connection)
            connection.sendall(OK)
        read_request(connection)
        connection.sendall(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    server = serve(behave)
    driven = drive(
        RequestTemplate(url=server.url(), timeout_s=2),
        load=Arrivals.constant(2000.0, duration_s=0.1),
        connections_max=4,
    )
    assert driven.classes == {"HTTP 200": 200}
    assert server.connection_count >= 200 / 3


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        pytest.param(replying(b"SSH-2.0-OpenSSH_9.2\r\n"), "garbage", id="another protocol"),
        pytest.param(replying(bytes(range(256))), "garbage", id="noise"),
        pytest.param(
            replying(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
            "garbage",
            id="a length that is none",
        ),
        pytest.param(replying(OK[:-1], then_close=True), "closed", id="half a body"),
        pytest.param(replying(b"HTTP/1.1 20", then_close=True), "closed", id="half a head"),
        pytest.param(replying(then_close=True), "closed", id="no reply"),
        pytest.param(resetting, "reset", id="reset"),
        pytest.param(replying(OK[:-1]), "timeout", id="never the last byte"),
        pytest.param(replying(), "timeout", id="silence"),
    ],
)
def test_what_cannot_be_told_is_indeterminate(
    serve: Serve, drive: Drive, behaviour: Behaviour, expected: str
) -> None:
    server = serve(behaviour)
    driven = drive(RequestTemplate(url=server.url(), timeout_s=1))
    assert driven.classes == {expected: PLANNED}
    assert driven.tally.indeterminate_count == PLANNED


@pytest.mark.parametrize("piece", [b"x", b"X-Filler: 0123456789\r\n"], ids=["body", "headers"])
def test_a_reply_beyond_the_bound_is_cut_off(serve: Serve, drive: Drive, piece: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + (b"Content-Length: 99999\r\n\r\n" if piece == b"x" else b"")

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(head)
        while True:
            connection.sendall(piece * 1000)

    server = serve(behave)
    driven = drive(RequestTemplate(url=server.url(), timeout_s=5), reply_bytes_max=50_000)
    assert driven.classes == {"too large": PLANNED}


def test_a_slow_drip_ends_at_the_timeout(serve: Serve, drive: Drive) -> None:
    """Bytes that keep coming do not extend a request's time."""

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        stop = threading.Event()
        for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000:
            connection.sendall(bytes([byte]))
            stop.wait(0.01)

    server = serve(behave)
    driven = drive(RequestTemplate(url=server.url(), timeout_s=1))
    # One that a busy machine sent late is given up at the end of the load, its time not yet over.
    assert driven.classes["timeout"] + driven.classes.get("stopped", 0) == PLANNED
    latest_ms = driven.window.service_ms(1.0)
    assert latest_ms is not None
    assert latest_ms >= 1000


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.ACKED),
        (202, Outcome.ACKED),
        (301, Outcome.REFUSED),
        (404, Outcome.REFUSED),
        (429, Outcome.REFUSED),
        (500, Outcome.INDETERMINATE),
        (501, Outcome.REFUSED),
        (502, Outcome.INDETERMINATE),
        (503, Outcome.REFUSED),
        (504, Outcome.INDETERMINATE),
    ],
)
def test_statuses_tell_the_outcome(
    serve: Serve, drive: Drive, status: int, outcome: Outcome
) -> None:
    reply = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nLocation: /other\r\n\r\n" % status
    server = serve(replying(reply))
    driven = drive(RequestTemplate(url=server.url(), timeout_s=2))
    assert driven.classes == {f"HTTP {status}": PLANNED}
    assert driven.recording.numbers(outcome).tolist() == list(range(PLANNED))


KEPT = b'{"status": "ok"}'
NOT_KEPT = b'{"status": "error", "why": "not ok at all"}'


def _whole(body: bytes) -> tuple[bytes, ...]:
    return (b"HTTP/1.1 200 OK\r\nX-Status: ok\r\nContent-Length: %d\r\n\r\n" % len(body), body)


def _in_chunks(body: bytes) -> tuple[bytes, ...]:
    """The body cut in the middle of what is looked for."""
    head = b"HTTP/1.1 200 OK\r\nX-Status: ok\r\nTransfer-Encoding: chunked\r\n\r\n"
    return (head, *(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:13], body[13:])), b"0\r\n\r\n")


@pytest.mark.parametrize("frame", [_whole, _in_chunks])
@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (KEPT, Outcome.ACKED),
        (NOT_KEPT, Outcome.REFUSED),
        (b" " * 70_000 + NOT_KEPT, Outcome.INDETERMINATE),  # More than is kept of a reply.
    ],
    ids=["kept", "not kept", "too long to tell"],
)
def test_an_acknowledging_status_counts_only_with_the_body_that_confirms_it(
    serve: Serve,
    drive: Drive,
    frame: Callable[[bytes], tuple[bytes, ...]],
    body: bytes,
    outcome: Outcome,
) -> None:
    server = serve(replying(*frame(body)))
    driven = drive(
        RequestTemplate(url=server.url(), timeout_s=2, acknowledged_when=r'"status": ?"ok"')
    )
    assert driven.recording.numbers(outcome).tolist() == list(range(PLANNED))


def test_a_status_that_refuses_refuses_whatever_its_body_says(serve: Serve, drive: Drive) -> None:
    server = serve(replying(b"HTTP/1.1 409 X\r\nContent-Length: 2\r\n\r\nok"))
    driven = drive(RequestTemplate(url=server.url(), timeout_s=2, acknowledged_when="ok"))
    assert driven.recording.numbers(Outcome.REFUSED).tolist() == list(range(PLANNED))


def test_nobody_listening_is_refused_not_indeterminate(drive: Drive, unused_port: int) -> None:
    driven = drive(RequestTemplate(url=f"http://127.0.0.1:{unused_port}/", timeout_s=1))
    assert driven.classes == {"connection refused": PLANNED}
    assert driven.tally.refused_count == PLANNED


def test_a_name_that_does_not_exist_is_refused_by_its_class(drive: Drive) -> None:
    driven = drive(RequestTemplate(url="http://no-such-host.invalid/", timeout_s=5))
    assert driven.classes == {"name not found": PLANNED}


def test_a_listener_that_never_accepts_times_out_connecting(drive: Drive) -> None:
    """A full backlog drops our SYN: nothing was sent, so the request is refused."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        where = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(where)
        try:
            driven = drive(
                RequestTemplate(url=f"http://127.0.0.1:{where[1]}/", timeout_s=0.3),
                connections_max=50,
            )
        finally:
            for filler in fillers:
                filler.close()
    assert driven.tally.acked_count == driven.tally.indeterminate_count == 0
    assert set(driven.classes) <= {"connect timeout", "too late", "not sent before stop"}


def test_a_connection_closed_before_use_is_refused(serve: Serve, drive: Drive) -> None:
    driven = drive(RequestTemplate(url=serve(lambda _: None).url(), timeout_s=0.3))
    assert driven.tally.acked_count == 0
    assert set(driven.classes) <= {"closed unused", "closed", "reset", "too late"}


def test_an_idle_connection_closed_by_the_server_costs_no_request(
    serve: Serve, drive: Drive
) -> None:
    def behave(connection: socket.socket) -> None:
        connection.settimeout(0.05)
        while True:
            read_request(connection)
            connection.sendall(OK)

    server = serve(behave)
    driven = drive(
        RequestTemplate(url=server.url(), timeout_s=1),
        load=Arrivals.constant(5.0, duration_s=1.0),
        connections_max=2,
    )
    assert driven.classes == {"HTTP 200": 5}


def test_latency_counts_from_the_intended_instant_while_all_connections_are_busy(
    serve: Serve, drive: Drive
) -> None:
    def behave(connection: socket.socket) -> None:
        while True:
            read_request(connection)
            time.sleep(0.05)
            connection.sendall(OK)

    server = serve(behave)
    driven = drive(
        RequestTemplate(url=server.url(), timeout_s=5),
        load=Arrivals.constant(100.0, duration_s=0.1),
        connections_max=1,
    )
    # One connection serves 10 requests of 50 ms, due every 10 ms: the last waits 9 * 40 ms.
    samples = driven.recording.samples()
    last = samples[samples["n"] == 9][0]
    assert last["lateness_us"] >= 350_000
    assert last["lateness_us"] + last["service_us"] >= 400_000
    assert driven.tally.acked_count == 10


def test_beyond_the_in_flight_bound_requests_are_dropped_and_recorded(
    serve: Serve, drive: Drive
) -> None:
    driven = drive(
        RequestTemplate(url=serve(replying()).url(), timeout_s=1),
        connections_max=2,
        in_flight_max=5,
    )
    assert driven.classes["in flight bound"] == PLANNED - 5
    assert driven.classes["timeout"] >= 2


def test_who_waits_longer_than_a_request_may_take_is_dropped(serve: Serve, drive: Drive) -> None:
    driven = drive(
        RequestTemplate(url=serve(replying()).url(), timeout_s=0.25),
        load=Arrivals.constant(20.0, duration_s=1.0),
        connections_max=1,
    )
    assert driven.classes["too late"] >= 10
    assert driven.classes["timeout"] >= 2


@pytest.mark.parametrize(
    ("late_s", "expected"), [(0.1, {"HTTP 200": PLANNED}), (1.0, {"too late": PLANNED})]
)
def test_a_generator_far_behind_drops_what_is_too_late_and_catches_up_on_the_rest(
    serve: Serve, drive: Drive, late_s: float, expected: dict[str, int]
) -> None:
    request = RequestTemplate(url=serve(replying(OK)).url(), timeout_s=0.8)
    driven = drive(request, late_s=late_s)
    assert driven.classes == expected
    assert driven.tally.lag_p50_ms is not None
    assert driven.tally.lag_p50_ms >= late_s * 1000 - 50


def test_every_request_carries_its_own_id_number_and_signature(serve: Serve, drive: Drive) -> None:
    seen: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        while True:
            seen.append(read_request(connection))
            connection.sendall(OK)

    request = RequestTemplate(
        url=serve(behave).url("/hook?n={n}"),
        headers=(("X-Id", "{uuid}"),),
        body='{"id": "{uuid}", "n": {n}, "at": "{now}", "nested": {"uuid": {}}}',
        signing=Signing(header="X-Signature", prefix="sha256=", secret_env="UNUSED"),
        timeout_s=2,
    )
    driven = drive(request, key=b"key")
    assert driven.tally.acked_count == PLANNED
    for data in seen:
        head, _, body = data.partition(b"\r\n\r\n")
        fields = json.loads(body)
        assert fields["id"] == id_of(7, fields["n"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields["at"])
        assert fields["nested"] == {"uuid": {}}
        lines = head.decode().split("\r\n")
        assert lines[0] == f"POST /hook?n={fields['n']} HTTP/1.1"
        assert f"X-Id: {fields['id']}" in lines
        digest = hmac.new(b"key", body, hashlib.sha256).hexdigest()
        assert f"X-Signature: sha256={digest}" in lines
        assert f"Content-Length: {len(body)}" in lines
    assert len(seen) == PLANNED


def test_a_request_larger_than_the_socket_takes_arrives_whole(serve: Serve, drive: Drive) -> None:
    lengths: list[int] = []

    def behave(connection: socket.socket) -> None:
        while True:
            time.sleep(0.02)
            lengths.append(len(read_request(connection).partition(b"\r\n\r\n")[2]))
            connection.sendall(OK)

    body = "x" * 8_000_000
    request = RequestTemplate(url=serve(behave).url(), body=body, timeout_s=5)
    driven = drive(request, load=Arrivals.constant(50.0, duration_s=0.06), connections_max=1)
    assert driven.classes == {"HTTP 200": 3}
    assert lengths == [len(body)] * 3


def test_replies_to_head_have_no_body(serve: Serve, drive: Drive) -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    server = serve(replying(reply))
    driven = drive(
        RequestTemplate(method="HEAD", url=server.url(), timeout_s=1),
        load=ClosedLoop(in_flight_count=1),
        duration_s=0.3,
    )
    assert driven.tally.acked_count == driven.tally.planned_count > 1
    assert server.connection_count == 1


def test_heads_that_never_repeat_are_read_all_the_same(serve: Serve, drive: Drive) -> None:
    def behave(connection: socket.socket) -> None:
        for n in range(10_000):
            read_request(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: %d\r\nContent-Length: 2\r\n\r\nok" % n)

    driven = drive(
        RequestTemplate(url=serve(behave).url(), timeout_s=5),
        load=Arrivals.constant(4000.0, duration_s=0.5),
        connections_max=4,
    )
    assert driven.classes == {"HTTP 200": 2000}


def test_bytes_that_nobody_asked_for_end_the_connection_and_harm_no_sample(
    serve: Serve, drive: Drive
) -> None:
    driven = drive(RequestTemplate(url=serve(replying(OK + OK)).url(), timeout_s=1))
    assert driven.classes == {"HTTP 200": PLANNED}


def test_the_closed_model_keeps_so_many_in_flight_and_no_more(serve: Serve, drive: Drive) -> None:
    server = serve(replying(OK))
    driven = drive(
        RequestTemplate(url=server.url(), timeout_s=1),
        load=ClosedLoop(in_flight_count=3),
        duration_s=0.1,
    )
    assert driven.tally.acked_count > 3
    assert server.connection_count == 3


def test_the_duration_of_a_plan_ends_unbounded_arrivals(serve: Serve, drive: Drive) -> None:
    driven = drive(
        RequestTemplate(url=serve(replying(OK)).url(), timeout_s=1),
        load=Arrivals.constant(100.0),
        duration_s=0.1,
    )
    assert driven.tally.planned_count == 10
