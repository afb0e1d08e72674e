"""
One kept connection to the target, for one request at a time, driven without an event loop.

Between the rounds it blocks, with timeouts; for a release its socket is put into non-blocking mode
and everything that can be done before the release is: with TLS the last byte lies encrypted, in a
record of its own, waiting to be sent.
"""

import socket
import ssl
import time

from perfchaos.recording.layout import Failure
from perfchaos.workload.dialing import failure_of
from perfchaos.workload.rendering import Origin
from perfchaos.workload.replies import ReplyParser

_READ_BYTES = 65_536
_CLOSING = b""


class LaneError(Exception):
    """The connection cannot be had, or not be used; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.label)
        self.failure = failure


class Lane:
    """
    A connection that is opened when it is first needed and again when the server closed it.

    `wire` is the socket to send a sealed byte on, once `arm` has succeeded. `connect_s` is how long
    the last connecting took: about one round trip.
    """

    wire: socket.socket

    def __init__(self, origin: Origin, tls: ssl.SSLContext | None, *, reply_bytes_max: int) -> None:
        self._origin = origin
        self._context = tls
        self._tls: _Tls | None = None
        self._reply_bytes_max = reply_bytes_max
        self._open = False
        self._reply = _Reply(is_head=False, bytes_max=reply_bytes_max)
        self.connect_s = 0.0
        self.sent_bytes = 0
        self.received_bytes = 0

    def exchange(self, request: bytes, *, timeout_s: float) -> tuple[int, bytes]:
        """
        Sends a request and gives its reply's status and body.

        Raises LaneError when there is none within `timeout_s`.
        """
        deadline_s = time.monotonic() + timeout_s
        last = self.arm(request, timeout_s=timeout_s)
        try:
            self.wire.settimeout(timeout_s)
            self.wire.sendall(last)
            while (result := self.read()) is None:
                self.wire.settimeout(max(deadline_s - time.monotonic(), 0.001))
        except OSError as error:
            self.close()
            timed_out = isinstance(error, TimeoutError)
            raise LaneError(Failure.TIMEOUT if timed_out else Failure.RESET) from error
        if isinstance(result, Failure):
            raise LaneError(result)
        return result, self.body

    def arm(self, request: bytes, *, timeout_s: float) -> bytes:
        """
        Sends all of `request` but its last byte; gives what must be sent to complete it.

        The socket is non-blocking from then on. Raises LaneError when there is no connection.
        """
        if self._open:
            self.wire.setblocking(False)
            if self.has_spoken():
                self.close()
        if not self._open:
            self._connect(timeout_s)
        self._reply = _Reply(is_head=request.startswith(b"HEAD "), bytes_max=self._reply_bytes_max)
        first, last = request[:-1], request[-1:]
        if self._tls is not None:
            first, last = self._tls.sealed(first), self._tls.sealed(last)
        try:
            self.wire.settimeout(timeout_s)
            self.wire.sendall(first)
            self.wire.setblocking(False)
        except OSError as error:
            self.close()
            raise LaneError(Failure.CLOSED_UNUSED) from error
        self.sent_bytes += len(request)
        return last

    def read(self) -> int | Failure | None:
        """
        Reads what there is: the status of the complete reply, a failure, None for not yet.

        After anything but None the connection is ready for the next request, or closed. Raises
        TimeoutError on a socket that has a timeout.
        """
        try:
            data = self.wire.recv(_READ_BYTES)
            self.received_bytes += len(data)
            data, ended = self._tls.opened(data) if self._tls else (data, data == _CLOSING)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        except TimeoutError:
            raise
        except OSError:
            self.close()
            return Failure.RESET
        result: int | Failure | None = self._reply.feed(data) if data else None
        if result is None and ended:
            result = self._reply.end()
        if isinstance(result, Failure) or (result and not self._reply.keep_alive) or ended:
            self.close()
        return result

    def has_spoken(self) -> bool:
        """
        Whether there was anything to read: of a reply, or a good-bye. Reads it.

        What TLS has to say of itself does not count. For a non-blocking socket.
        """
        try:
            data = self.wire.recv(_READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            return True
        if self._tls is None:
            return True
        try:
            plain, ended = self._tls.opened(data)
        except ssl.SSLError:
            return True
        return bool(plain) or ended

    @property
    def body(self) -> bytes:
        """The body of the latest reply, as far as it was read."""
        return bytes(self._reply.body)

    def close(self) -> None:
        """Closes the connection, if there is one; the next request opens another."""
        if self._open:
            self._open = False
            self._tls = None
            self.wire.close()

    def _connect(self, timeout_s: float) -> None:
        began_s = time.monotonic()
        try:
            self.wire = socket.create_connection(
                (self._origin.host, self._origin.port), timeout=timeout_s
            )
            self._open = True
            self.connect_s = time.monotonic() - began_s
            self.wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                self._tls = _Tls(self._context, self._origin.host)
                self._tls.shake_hands(self.wire)
        except OSError as error:
            self.close()
            raise LaneError(failure_of(error)) from error


class _Reply(ReplyParser):
    """A reply whose body is kept."""

    def __init__(self, *, is_head: bool, bytes_max: int) -> None:
        self.body = bytearray()
        super().__init__(is_head=is_head, bytes_max=bytes_max)

    def on_body(self, data: bytes) -> None:
        if self.status >= 200:
            self.body += data


class _Tls:
    """A TLS session apart from its socket, so that records can be made before they are sent."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def shake_hands(self, plain: socket.socket) -> None:
        """Raises OSError, of which SSLError is one."""
        while True:
            try:
                self._session.do_handshake()
            except ssl.SSLWantReadError:
                plain.sendall(self._outgoing.read())
                data = plain.recv(_READ_BYTES)
                if not data:
                    raise ConnectionResetError from None
                self._incoming.write(data)
            else:
                plain.sendall(self._outgoing.read())
                return

    def sealed(self, data: bytes) -> bytes:
        self._session.write(data)
        return self._outgoing.read()

    def opened(self, data: bytes) -> tuple[bytes, bool]:
        """What `data` holds in plain text, and whether the server has ended the session."""
        ended = data == _CLOSING
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        plain = bytearray()
        try:
            while piece := self._session.read(_READ_BYTES):
                plain += piece
            ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLEOFError:
            ended = True
        return bytes(plain), ended
