"""
Telling where a reply ends, and with which status.

A server's heads repeat (the date changes once a second), so a look-up of the head's bytes replaces
parsing for most replies. Whatever the look-up does not know goes through llhttp, and teaches it.
"""

import contextlib
from dataclasses import dataclass

import httptools

from perfchaos.recording.layout import Failure

HEADS_MAX = 64
_LEARNING_PATIENCE = 16  # times the look-up may fill up without paying before it is given up
_NO_BODY = frozenset({204, 304})


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownHead:
    """What the bytes of a head mean: the head alone tells where the reply ends."""

    status: int
    reply_bytes: int
    """Of head and body together."""
    keep_alive: bool


class HeadCache:
    """
    The heads seen lately, by their bytes; the one seen last needs not even a look-up.

    Bounded, and given up for servers whose heads never repeat (a request id in each).
    """

    def __init__(self) -> None:
        self.latest_bytes = b"\r\n\r\n"  # no reply begins so
        self.latest: KnownHead | None = None
        self._heads: dict[bytes, KnownHead] = {}
        self._refills_left = _LEARNING_PATIENCE

    def __len__(self) -> int:
        return len(self._heads)

    def find(self, data: bytes) -> KnownHead | None:
        """What is known of the head that `data` begins with."""
        head = head_of(data)
        known = self._heads.get(head)
        if known is not None:
            self.latest_bytes, self.latest = head, known
        return known

    def learn(self, head: bytes, known: KnownHead) -> None:
        """Remembers what llhttp made of a head."""
        if len(self._heads) >= HEADS_MAX:
            if not self._refills_left:
                return
            self._refills_left -= 1
            self._heads.clear()
        self._heads[head] = known


def head_of(data: bytes) -> bytes:
    """The head that `data` begins with, its empty line included; empty if it is not complete."""
    end = data.find(b"\r\n\r\n")
    return data[: end + 4] if end >= 0 else b""


def body_of(reply: bytes) -> bytes:
    """The body in the bytes of a reply, or what there is of it; without the framing of chunks."""
    body = _Body()
    with contextlib.suppress(httptools.HttpParserError):
        httptools.HttpResponseParser(body).feed_data(reply)
    return b"".join(body.pieces)


class _Body:
    """Collects what httptools tells of a body."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def on_body(self, piece: bytes) -> None:
        self.pieces.append(piece)


class ReplyParser:
    """
    One reply through llhttp, in any number of pieces.

    `feed` and `end` return the status once the reply is complete, a `Failure` once it cannot
    become one, and None before that.
    """

    def __init__(self, *, is_head: bool, bytes_max: int) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._is_head = is_head
        self._bytes_left = bytes_max
        self._lengths: list[bytes] = []
        self._encoded = False
        self._until_close = False
        self._complete = False
        self._only_one_head = True
        self._surplus = False
        self.status = 0
        self.keep_alive = False

    def feed(self, data: bytes) -> int | Failure | None:
        """The next bytes from the server; not to be called after the reply is complete."""
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            return Failure.TOO_LARGE
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._complete, self._surplus = True, True
        except httptools.HttpParserError:
            if not self._is_complete():
                return Failure.GARBAGE
            self._surplus = True
        if self._surplus:
            self.keep_alive = False  # Bytes nobody asked for: out of step with the server.
        return self.status if self._is_complete() else None

    def end(self) -> int | Failure:
        """The server closed: the end of a reply without a length, a failure for any other."""
        return self.status if self._until_close else Failure.CLOSED

    def _is_complete(self) -> bool:
        return self._complete

    def known(self, head: bytes) -> KnownHead | None:
        """What to remember of the head, if it alone tells where the reply ends."""
        simple = self._only_one_head and not self._encoded and len(self._lengths) == 1
        if not simple or self._surplus or self._is_head or self.status in _NO_BODY:
            return None
        return KnownHead(
            status=self.status,
            reply_bytes=len(head) + int(self._lengths[0]),
            keep_alive=self.keep_alive,
        )

    # What httptools calls.

    def on_message_begin(self) -> None:
        self._surplus = self._complete

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"content-length":
            self._lengths.append(value)
        elif name == b"transfer-encoding":
            self._encoded = True

    def on_headers_complete(self) -> None:
        if self._complete:
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:
            return
        self.keep_alive = self._parser.should_keep_alive()
        ends_with_head = self._is_head or self.status in _NO_BODY
        self._until_close = not (ends_with_head or self._lengths or self._encoded)
        self._complete = ends_with_head

    def on_message_complete(self) -> None:
        if self.status >= 200:
            self._complete = True
        else:  # An interim reply (1xx): the real one follows.
            self._only_one_head = False
            self._lengths.clear()
            self._encoded = False
