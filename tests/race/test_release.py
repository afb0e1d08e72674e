"""The release: what overlaps, what does not, and what is told of both."""

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from perfchaos.race.lane import Lane
from perfchaos.race.release import AnsweredEarly, release
from perfchaos.recording.layout import Failure
from perfchaos.workload.rendering import Origin
from tests.workload.conftest import OK, Behaviour, Server, read_request, replying

Serve = Callable[[Behaviour], Server]
REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
TIMEOUT_S = 5.0


@pytest.fixture
def lanes() -> Iterator[Callable[[Server, int], list[Lane]]]:
    with ExitStack() as closing:

        def to(server: Server, count: int) -> list[Lane]:
            origin = Origin.of(server.url())
            opened = [Lane(origin, None, reply_bytes_max=1024) for _ in range(count)]
            for lane in opened:
                closing.callback(lane.close)
            return opened

        yield to


type Lanes = Callable[[Server, int], list[Lane]]


class Hesitant:
    """A socket that sends only when there is a reply on another one."""

    def __init__(self, lane: Lane, other: Lane) -> None:
        self._wire, self._other = lane.wire, other.wire

    def __getattr__(self, name: str) -> object:
        return getattr(self._wire, name)

    def send(self, data: bytes) -> int:
        select.select([self._other], [], [], TIMEOUT_S)
        return self._wire.send(data)


def arm(lanes: list[Lane]) -> list[bytes]:
    return [lane.arm(REQUEST, timeout_s=TIMEOUT_S) for lane in lanes]


def test_the_last_byte_is_held_back(serve: Serve, lanes: Lanes) -> None:
    armed = lanes(serve(replying(OK)), 3)
    assert arm(armed) == [b"}"] * 3
    assert not select.select([lane.wire for lane in armed], [], [], 0.05)[0]


def test_times_go_up_in_the_order_of_release(serve: Serve, lanes: Lanes) -> None:
    armed = lanes(serve(replying(OK)), 10)
    released = release(armed, arm(armed), timeout_s=TIMEOUT_S)
    sent_ns = [reply.sent_ns or 0 for reply in released.replies]
    assert released.released_ns < sent_ns[0]
    assert sent_ns == sorted(sent_ns)
    assert all(reply.done_ns > sent for reply, sent in zip(released.replies, sent_ns, strict=True))
    assert [(reply.code, reply.body) for reply in released.replies] == [(200, b"ok")] * 10


def test_a_reply_before_the_last_byte_is_no_overlap(serve: Serve, lanes: Lanes) -> None:
    first, second = armed = lanes(serve(replying(OK)), 2)
    lasts = arm(armed)
    second.wire = Hesitant(second, first)  # type: ignore[assignment]
    released = release(armed, lasts, timeout_s=TIMEOUT_S)
    assert not released.overlapped
    assert [reply.code for reply in released.replies] == [200, 200]


def test_a_byte_that_cannot_be_sent_is_told(serve: Serve, lanes: Lanes) -> None:
    class Broken(Hesitant):
        def send(self, data: bytes) -> int:
            raise ConnectionResetError

    first, second = armed = lanes(serve(replying(OK)), 2)
    lasts = arm(armed)
    second.wire = Broken(second, first)  # type: ignore[assignment]
    released = release(armed, lasts, timeout_s=0.2)
    assert [reply.sent_ns is None for reply in released.replies] == [False, True]
    assert [reply.code for reply in released.replies] == [200, Failure.TIMEOUT]
    assert not released.overlapped


def test_who_is_answered_early_does_not_race(serve: Serve, lanes: Lanes) -> None:
    def hasty(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(OK)
        read_request(connection)

    armed = lanes(serve(hasty), 2)
    lasts = arm(armed)
    select.select([armed[1].wire], [], [], TIMEOUT_S)
    with pytest.raises(AnsweredEarly):
        release(armed, lasts, timeout_s=TIMEOUT_S)


def test_a_connection_serves_one_release_after_another(serve: Serve, lanes: Lanes) -> None:
    server = serve(replying(OK))
    armed = lanes(server, 4)
    for _ in range(5):
        released = release(armed, arm(armed), timeout_s=TIMEOUT_S)
        assert [reply.code for reply in released.replies] == [200] * 4
    assert server.connection_count == 4
    assert all(lane.sent_bytes == 5 * len(REQUEST) for lane in armed)
    assert all(lane.received_bytes == 5 * len(OK) for lane in armed)
