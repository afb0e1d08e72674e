"""The boundary between bytes and samples: however a reply is cut, the sample is the same."""

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perfchaos.recording import Failure
from perfchaos.workload.connection import Connection
from perfchaos.workload.replies import HeadCache


@dataclass(slots=True)
class Listener:
    """Stands where the pool stands, and notes what it is told."""

    is_head: bool = False
    reply_bytes_max: int = 1 << 20
    received_bytes: int = 0
    heads: HeadCache = field(default_factory=HeadCache)
    told: list[object] = field(default_factory=list)
    said: bytes = b""

    def answered(self, connection: Connection, status: int) -> None:
        self.told.append((status, connection.keep_alive))
        self.said = connection.said

    def failed(self, connection: Connection, failure: Failure) -> None:
        self.told.append(failure)

    def closed(self, connection: Connection) -> None:
        self.told.append("closed")


class Wire:
    """A transport that takes everything."""

    def __init__(self) -> None:
        self.aborted = False

    def write(self, data: bytes) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True


def connect(listener: Listener) -> tuple[Connection, Wire]:
    connection, wire = Connection(listener, None), Wire()
    connection.connection_made(cast("asyncio.Transport", wire))
    return connection, wire


@dataclass(frozen=True, slots=True)
class Reply:
    """A legal reply, and what it means."""

    data: bytes
    status: int
    keep_alive: bool
    ends_with_connection: bool


TOKENS = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12).map(lambda t: f"x-{t}")
VALUES = st.text(
    st.characters(codec="latin-1", exclude_characters="\r\n\0", exclude_categories=["Cc"]),
    max_size=30,
)
NO_BODY = (204, 304)


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """Every framing that RFC 9112 section 6 allows a reply to a POST."""
    status = draw(st.sampled_from([200, 201, 202, 204, 301, 304, 404, 429, 500, 503, 504]))
    framing = "none" if status in NO_BODY else draw(st.sampled_from(["length", "chunked", "close"]))
    body = draw(st.binary(max_size=300))
    headers = [(draw(TOKENS), draw(VALUES)) for _ in range(draw(st.integers(0, 4)))]
    version = draw(st.sampled_from(["1.1", "1.1", "1.0"])) if framing != "chunked" else "1.1"
    says = draw(st.sampled_from([None, "close", "keep-alive"]))
    if says is not None:
        headers.append((draw(st.sampled_from(["Connection", "connection"])), says))
    if framing == "length":
        name = draw(st.sampled_from(["Content-Length", "content-length", "CONTENT-LENGTH"]))
        headers.append((name, str(len(body))))
    elif framing == "chunked":
        headers.append(("Transfer-Encoding", "chunked"))
    headers = draw(st.permutations(headers))
    lines = [f"HTTP/{version} {status} {draw(st.sampled_from(['OK', 'Some Reason', '']))}"]
    lines += [f"{name}:{draw(st.sampled_from([' ', '', '  ']))}{value}" for name, value in headers]
    head = "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n"
    interim = draw(
        st.sampled_from(
            [
                b"",
                b"",
                b"HTTP/1.1 100 Continue\r\n\r\n",
                b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n",
            ]
        )
    )
    content = {
        "none": b"",
        "length": body,
        "close": body,
        "chunked": chunked(
            body, draw(st.lists(st.integers(1, 50), max_size=5)), draw(st.booleans())
        ),
    }[framing]
    keeps = says == "keep-alive" if version == "1.0" else says != "close"
    return Reply(
        data=interim + head + content,
        status=status,
        keep_alive=keeps and framing != "close",
        ends_with_connection=framing == "close",
    )


def chunked(body: bytes, sizes: list[int], trailer: bool) -> bytes:
    pieces, rest = [], body
    for size in [*sizes, len(body)]:
        piece, rest = rest[:size], rest[size:]
        if piece:
            pieces.append(b"%x;name=value\r\n%b\r\n" % (len(piece), piece))
    end = b"0\r\nX-Checksum: 7\r\n\r\n" if trailer else b"0\r\n\r\n"
    return b"".join(pieces) + end


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted({position % (len(data) + 1) for position in at}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]


PLAIN = Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, True, False)


@given(
    sequence=st.lists(replies(), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 2000), max_size=12),
    warm=st.booleans(),
)
@example(sequence=[PLAIN, PLAIN], cuts=[38], warm=True)
@example(sequence=[PLAIN, PLAIN], cuts=list(range(50)), warm=True)
def test_any_split_of_legal_replies_gives_the_same_samples(
    sequence: list[Reply], cuts: list[int], warm: bool
) -> None:
    listener = Listener()
    if warm:  # The look-up knows these heads already, as after the first replies of a run.
        for reply in sequence:
            exchange(listener, [reply.data], reply)
        listener.told.clear()
    connection = None
    for reply in sequence:
        before = len(listener.told)
        connection = exchange(listener, cut(reply.data, cuts), reply, connection)
        assert listener.told[before : before + 1] == [(reply.status, reply.keep_alive)]
        assert listener.said == reply.data
    assert len([t for t in listener.told if t != "closed"]) == len(sequence)


def exchange(
    listener: Listener, pieces: list[bytes], reply: Reply, connection: Connection | None = None
) -> Connection | None:
    """One request and its reply; the connection, if it can be used again."""
    if connection is None:
        connection, _ = connect(listener)
    assert connection.send(b"request", 0, 0, 0)
    for piece in pieces:
        assert connection.busy
        connection.data_received(piece)
    if reply.ends_with_connection:
        assert connection.busy
        connection.connection_lost(None)
    assert not connection.busy
    return connection if reply.keep_alive else None


@given(
    reply=replies(), kept=st.integers(0, 10_000), cuts=st.lists(st.integers(0, 2000), max_size=5)
)
def test_no_beginning_of_a_reply_is_taken_for_the_whole(
    reply: Reply, kept: int, cuts: list[int]
) -> None:
    listener = Listener()
    connection, _ = connect(listener)
    connection.send(b"request", 0, 0, 0)
    head_end = reply.data.rfind(b"\r\n\r\n") if reply.ends_with_connection else len(reply.data)
    start = reply.data[: kept % max(head_end, 1)]
    for piece in cut(start, cuts):
        connection.data_received(piece)
    assert listener.told == []
    connection.connection_lost(None)
    assert listener.told == [Failure.CLOSED, "closed"]


@given(data=st.binary(min_size=1, max_size=400), cuts=st.lists(st.integers(0, 500), max_size=5))
def test_noise_never_raises_and_settles_at_most_once(data: bytes, cuts: list[int]) -> None:
    listener = Listener()
    connection, wire = connect(listener)
    connection.send(b"request", 0, 0, 0)
    for piece in cut(data, cuts):
        if not wire.aborted:
            connection.data_received(piece)
    connection.connection_lost(None)
    assert len([told for told in listener.told if told != "closed"]) == 1


@pytest.mark.parametrize("surplus", [b"x", b"HTTP/1.1 200 OK\r\n", PLAIN.data])
@pytest.mark.parametrize("warm", [False, True])
def test_a_connection_with_bytes_left_over_is_not_used_again(surplus: bytes, warm: bool) -> None:
    listener = Listener()
    if warm:
        exchange(listener, [PLAIN.data], PLAIN)
    connection, wire = connect(listener)
    connection.send(b"request", 0, 0, 0)
    connection.data_received(PLAIN.data + surplus)
    assert listener.told[-1] == (200, False)
    assert wire.aborted


def test_a_closing_connection_takes_no_request() -> None:
    connection, _ = connect(Listener())
    connection.eof_received()
    assert connection.send(b"request", 0, 0, 0) is False
    assert not connection.busy


@pytest.mark.parametrize(("spare_bytes", "told"), [(0, (200, True)), (-1, Failure.TOO_LARGE)])
def test_the_bound_on_a_reply_counts_head_and_body(spare_bytes: int, told: object) -> None:
    listener = Listener(reply_bytes_max=len(PLAIN.data) + spare_bytes)
    connection, _ = connect(listener)
    connection.send(b"request", 0, 0, 0)
    connection.data_received(PLAIN.data)
    assert listener.told == [told]


def test_the_look_up_is_bounded() -> None:
    listener = Listener()
    for number in range(5000):
        reply = Reply(
            b"HTTP/1.1 200 OK\r\nX: %d\r\nContent-Length: 0\r\n\r\n" % number, 200, True, False
        )
        exchange(listener, [reply.data], reply)
    assert len(listener.heads) <= 64
