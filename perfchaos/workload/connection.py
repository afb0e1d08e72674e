"""One connection to the target: at most one request on it at a time, none of them pipelined."""

import asyncio
import socket
import time
from typing import Protocol, cast

from perfchaos.recording.layout import Failure
from perfchaos.workload.replies import HeadCache, ReplyParser, head_of

SAID_BYTES_MAX = 65_536  # of a reply in pieces; one that came whole is kept as it came

_monotonic_ns = time.monotonic_ns


class Sender(Protocol):
    """What a connection reports to: the engine."""

    heads: HeadCache
    is_head: bool
    reply_bytes_max: int
    received_bytes: int

    def answered(self, connection: "Connection", status: int) -> None:
        """The reply is complete; unless `keep_alive`, the connection is about to close."""

    def failed(self, connection: "Connection", failure: Failure) -> None:
        """The request on this connection gets no reply; the connection is about to close."""

    def closed(self, connection: "Connection") -> None:
        """The connection is gone."""


class Connection(asyncio.Protocol):
    """
    An asyncio protocol that holds the request on the wire.

    `n`, `intended_ns`, `sent_ns` and `waited` describe that request while `busy`, `said` is what
    has come of its reply, the beginning of it where it is long. It is `unproven` until its first
    reply, which may never come from a server that waits on another connection. Without TLS it
    goes straight to the socket; what the socket does not take, and all that follows on this
    connection, goes through the transport, which keeps the order.
    """

    __slots__ = (
        "_body_left",
        "_head",
        "_heads",
        "_parser",
        "_sender",
        "_socket",
        "_status",
        "_transport",
        "busy",
        "intended_ns",
        "keep_alive",
        "n",
        "said",
        "sent_ns",
        "unproven",
        "waited",
    )

    _transport: asyncio.Transport

    def __init__(self, sender: Sender, plain_socket: socket.socket | None) -> None:
        self._sender = sender
        self._heads = sender.heads
        self._socket = plain_socket
        self._parser: ReplyParser | None = None
        self._head = b""
        self._body_left = 0
        self._status = 0
        self.said = b""
        self.keep_alive = True
        self.unproven = True
        self.busy = False
        self.n = self.intended_ns = self.sent_ns = self.waited = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, data: bytes, n: int, intended_ns: int, waited: int) -> bool:
        """
        Puts one request on the wire; the connection must be idle.

        False if the connection turned out to be closed and not one byte was sent.
        """
        self.sent_ns = _monotonic_ns()
        if not self.keep_alive:
            return False
        if self._socket is None:
            self._transport.write(data)
        else:
            try:
                sent_bytes = self._socket.send(data)
            except BlockingIOError:
                sent_bytes = 0
            except OSError:
                self.close()
                return False
            if sent_bytes != len(data):
                self._socket = None
                self._transport.write(data[sent_bytes:])
        self.busy = True
        self.n, self.intended_ns, self.waited = n, intended_ns, waited
        return True

    def data_received(self, data: bytes) -> None:
        self._sender.received_bytes += len(data)
        if self._body_left:
            self._hear_more(data)
            left = self._body_left - len(data)
        elif self._parser is not None or not self.busy:
            self._hear_more(data)
            self._parse(data)
            return
        else:
            self.said = data
            heads = self._heads
            known = heads.latest if data.startswith(heads.latest_bytes) else heads.find(data)
            if known is None:
                self._begin_parsing(data)
                return
            self._status, self.keep_alive = known.status, known.keep_alive
            left = known.reply_bytes - len(data)
        if left > 0:
            self._body_left = left
            return
        self._body_left = 0
        if left == 0 and self.keep_alive:
            self.busy = False
            self._sender.answered(self, self._status)
        else:
            # The server said so, or sent more than was asked for and is out of step.
            self._answer_last(self._status)

    def eof_received(self) -> None:
        self.keep_alive = False  # The transport closes after this; until then nobody may use it.

    def connection_lost(self, error: Exception | None) -> None:
        self.keep_alive = False
        if self.busy:
            result: int | Failure = Failure.RESET
            if error is None:
                result = Failure.CLOSED if self._parser is None else self._parser.end()
            self._settle(result)
        self._sender.closed(self)

    def give_up(self, failure: Failure) -> None:
        """Ends the request on this connection, and the connection."""
        self.busy = False
        self._sender.failed(self, failure)
        self.close()

    def close(self) -> None:
        """Closes at once; a request still on it is lost and must have been given up."""
        self.keep_alive = False
        self._transport.abort()

    def _hear_more(self, data: bytes) -> None:
        self.said = (self.said + data)[:SAID_BYTES_MAX]

    def _begin_parsing(self, data: bytes) -> None:
        sender = self._sender
        self._parser = ReplyParser(is_head=sender.is_head, bytes_max=sender.reply_bytes_max)
        self._head = head_of(data)
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        if not self.busy or self._parser is None:
            self.close()  # Bytes that nobody asked for.
            return
        result = self._parser.feed(data)
        if result is None:
            return
        if not isinstance(result, Failure):
            self.keep_alive = self._parser.keep_alive
            known = self._parser.known(self._head)
            if self._head and known is not None:
                self._heads.learn(self._head, known)
        self._parser = None
        self._settle(result)

    def _settle(self, result: int | Failure) -> None:
        if isinstance(result, Failure):
            self.give_up(result)
        elif self.keep_alive:
            self.busy = False
            self._sender.answered(self, result)
        else:
            self._answer_last(result)

    def _answer_last(self, status: int) -> None:
        """The reply is complete, and the connection is not to be used again."""
        self.busy = self.keep_alive = False
        self._sender.answered(self, status)
        self.close()
