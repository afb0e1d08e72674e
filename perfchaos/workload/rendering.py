"""
From a request template to the bytes of request n.

All that does not vary is bytes before the first request; per request only the id, the number, the
time and the signature are spliced in.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self
from urllib.parse import urlsplit

from perfchaos.recording.ids import first_number, id_of
from perfchaos.workload.plan import RequestTemplate, Signing

Render = Callable[[int], bytes]
Sign = Callable[[bytes], bytes]

_FIELD = re.compile(r"\{(uuid|n|now)\}")


def renderer(
    request: RequestTemplate,
    *,
    seed: int,
    series: int = 0,
    key: bytes = b"",
    keep_alive: bool = True,
) -> Render:
    """
    A function from the number of a request to its bytes; `key` signs, if the template is.

    The number is the one within the series, below 2³²; ids tell the series too. Without
    `keep_alive` each request asks the server to close the connection after its reply.
    """
    start = _id_start(seed, series)
    head, body = _head(request), _filler(request.body, start)
    if not keep_alive:
        head += "Connection: close\r\n"
    if "{n}" in request.body:
        return _of_varying_length(request, head, body, start, key)
    if request.body or request.method in {"POST", "PUT", "PATCH"}:
        head += f"Content-Length: {len(body(0))}\r\n"
    if request.signing is not None:
        sign, top = signer(request.signing, key), _filler(head + _signature(request), start)
        if not _FIELD.search(head):
            front = top(0)
            return lambda n: b"%b%b\r\n\r\n%b" % (front, sign(content := body(n)), content)
        return lambda n: b"%b%b\r\n\r\n%b" % (top(n), sign(content := body(n)), content)
    return _filler(f"{head}\r\n{request.body}", start)


def _of_varying_length(
    request: RequestTemplate, head: str, body: Render, id_start: str, key: bytes
) -> Render:
    """The number of the request is in its body, and its digits are not always as many."""
    start, line = _filler(head, id_start), _signature(request).encode()
    sign = None if request.signing is None else signer(request.signing, key)

    def render(n: int) -> bytes:
        content = body(n)
        signature = b"" if sign is None else b"%b%b\r\n" % (line, sign(content))
        return b"%bContent-Length: %d\r\n%b\r\n%b" % (start(n), len(content), signature, content)

    return render


def _signature(request: RequestTemplate) -> str:
    """The beginning of the signature's header."""
    signing = request.signing
    return "" if signing is None else f"{signing.header}: {signing.prefix}"


def signer(signing: Signing, key: bytes) -> Sign:
    """
    A function from a body to its signature in hex.

    HMAC (RFC 2104) with the two padded keys hashed once and copied: a third of the cost of
    starting from the key each time.
    """
    algorithm = getattr(hashlib, signing.algorithm)
    block_bytes = algorithm().block_size
    if len(key) > block_bytes:
        key = algorithm(key).digest()
    padded = key.ljust(block_bytes, b"\0")
    inner = algorithm(bytes(byte ^ 0x36 for byte in padded))
    outer = algorithm(bytes(byte ^ 0x5C for byte in padded))

    def sign(content: bytes) -> bytes:
        first, second = inner.copy(), outer.copy()
        first.update(content)
        second.update(first.digest())
        digest: str = second.hexdigest()
        return digest.encode()

    return sign


def _id_start(seed: int, series: int) -> str:
    """What all ids of the series begin with: all but eight hex digits."""
    return id_of(seed, first_number(series))[:-8]


def _filler(text: str, id_start: str) -> Render:
    """A function that fills in the fields of a text: one formatting of bytes, made ready here."""
    pieces = _FIELD.split(text)  # constant, field, constant, field, …, constant
    fields = pieces[1::2]
    formats = {"uuid": f"{id_start}%08x", "n": "%d", "now": "%b"}
    pieces[::2] = [constant.replace("%", "%%") for constant in pieces[::2]]
    pieces[1::2] = [formats[field] for field in fields]
    pattern, count = "".join(pieces).encode(), len(fields)
    if not fields:
        constant = text.encode()
        return lambda _: constant
    if "now" in fields:
        return lambda n: pattern % tuple(_now() if field == "now" else n for field in fields)
    if count == 1:
        return pattern.__mod__
    return lambda n: pattern % ((n,) * count)


def _now() -> bytes:
    text = datetime.now(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z").encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where requests go, taken from their URL."""

    host: str
    port: int
    tls: bool

    @classmethod
    def of(cls, url: str) -> Self:
        """The origin of an absolute http or https URL."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        return cls(host=parts.hostname or "", port=parts.port or (443 if tls else 80), tls=tls)


def _head(request: RequestTemplate) -> str:
    """Request line and headers, without those that depend on the body."""
    parts = urlsplit(request.url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = [
        *request.headers,
        *((header.name, header.value()) for header in request.secret_headers),
    ]
    given = {name.lower() for name, _ in headers}
    lines = [f"{request.method} {path} HTTP/1.1"]
    if "host" not in given:
        lines.append(f"Host: {parts.netloc}")
    if "user-agent" not in given:
        lines.append("User-Agent: perfchaos")
    if "accept" not in given:
        lines.append("Accept: */*")
    lines += [f"{name}: {value}" for name, value in headers]
    return "".join(f"{line}\r\n" for line in lines)
