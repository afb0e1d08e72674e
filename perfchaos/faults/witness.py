"""
The witness: whether a fault is really there, read on the data plane and not from whoever made it.

A thread pings the dependency the way the target reaches it, every few milliseconds, over a
connection opened before the ping. A ping needs no password: Redis answers `-NOAUTH` and Postgres
asks for one, and both have thereby answered. From the pings follow two instants, each stated with
the gap to the ping before it, within which the change must have happened.
"""

import itertools
import math
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Literal, Self

from perfchaos.errors import PerfchaosError

_INTERVAL_S = 0.002
_POSTGRES_INTERVAL_S = 0.005  # Each of its pings costs the server a process.
_PATIENCE_S = 0.25
_HEALTHY_PINGS = 5
_HEALTHY_WITHIN_S = 2.0
_CONNECTIONS_MAX = 200

# The shares of pings that escape by luck before a partial fault is declared absent.
_LUCK = 1e-6

type _Finder = Callable[[list[Ping]], Sighting | None]

_PROTOCOL_3_0 = 196608
_POSTGRES_NOT_READY = (b"57P03", b"53300")  # starting up or recovering; too many connections
_REDIS_NOT_READY = (b"-LOADING", b"-BUSY", b"-MASTERDOWN", b"-ERR max")


class Fate(StrEnum):
    """What became of a ping."""

    ANSWERED = "answered"
    SILENT = "silent"  # connected, no answer in time
    CLOSED = "closed"  # connected, then end of stream or reset
    REFUSED = "refused"  # no connection
    NOT_READY = "not ready"  # an answer that says: not yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One dependency as the target reaches it: an address, and how to ask there for a reply."""

    protocol: Literal["redis", "postgres", "tcp"]
    host: str
    port: int
    tls: bool = False
    user: str = ""
    database: str = ""

    def __str__(self) -> str:
        return f"{self.protocol} at {self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """
    What a fault does to pings along a route.

    Either they are no longer answered and their fate is one of `fates`, or, with `fates` empty,
    their answers take at least `delay_ms`. `ratio` is the share of connections it happens to, and
    `spared_pings` how many pings over a connection may be answered all the same. Once undone, it is
    gone within `gone_within_s`.
    """

    route: Route
    fates: tuple[str, ...] = ()
    delay_ms: float = 0.0
    ratio: float = 1.0
    spared_pings: int = 0
    gone_within_s: float = 5.0

    @property
    def connections(self) -> int:
        """How many connections to try so that at least one is hit, but for bad luck of 1e-6."""
        if self.ratio >= 1:
            return 1
        return math.ceil(math.log(_LUCK) / math.log1p(-self.ratio))

    @property
    def steady(self) -> bool:
        """Whether every single ping meets it."""
        return self.ratio >= 1 and self.spared_pings == 0

    @property
    def discernible(self) -> bool:
        """Whether pings can tell it: not a share of connections so small that hundreds miss it."""
        return self.ratio > 0 and self.connections <= _CONNECTIONS_MAX

    def shows_in(self, ping: "Ping") -> bool:
        """Whether this ping was hit by it."""
        if self.fates:
            return ping.fate in self.fates
        return ping.fate is not Fate.ANSWERED or ping.took_ms >= self.delay_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """One ping and its fate; instants are CLOCK_MONOTONIC nanoseconds."""

    sent_ns: int
    done_ns: int
    fate: Fate

    @property
    def took_ms(self) -> float:
        """From sending to the answer, or to giving up."""
        return (self.done_ns - self.sent_ns) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """
    A change seen on the data plane: it had happened at `at_ns`, and not yet `resolution_ms` before.

    `fate` is that of the ping which showed it.
    """

    at_ns: int
    resolution_ms: float
    fate: Fate


class Witness:
    """
    Looks for one symptom, pinging its route from `__enter__` to `__exit__`.

    Raises:
        PerfchaosError: on entering, if `healthy` is expected and the route does not answer.

    """

    def __init__(self, symptom: Symptom, *, healthy: bool) -> None:
        route = symptom.route
        self._symptom = symptom
        self._route = route
        # Luck is drawn per connection, so every ping needs a new one.
        self._partial = symptom.ratio < 1
        self._healthy = healthy
        self._interval_s = _POSTGRES_INTERVAL_S if route.protocol == "postgres" else _INTERVAL_S
        self._pings: list[Ping] = []
        self._pinged = threading.Condition()
        self._ended = threading.Event()
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._watch, name="witness", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if self._healthy:
            try:
                self._see_it_healthy()
            except BaseException:
                self._end()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def sees(self, *, since_ns: int, within_s: float) -> Sighting | None:
        """
        The moment the symptom showed after `since_ns`; None if it did not `within_s`.

        """

        def find(pings: list[Ping]) -> Sighting | None:
            # A ping under way when the fault came in shows it as well.
            hits = [
                ping for ping in pings if ping.done_ns >= since_ns and self._symptom.shows_in(ping)
            ]
            if not hits or len(hits) < self._witnessed_min(hits[0]):
                return None
            at_ns = max(hits[0].sent_ns, since_ns)
            before = [ping.sent_ns for ping in pings if ping.sent_ns < hits[0].sent_ns]
            return _sighting(hits[0], at_ns, max([since_ns, *before[-1:]]))

        return self._await(find, within_s)

    def sees_normal(self, *, since_ns: int, within_s: float) -> Sighting | None:
        """The moment pings were as before again after `since_ns`; None if not `within_s`."""

        def find(pings: list[Ping]) -> Sighting | None:
            later = [ping for ping in pings if ping.sent_ns >= since_ns]
            row = list(
                itertools.takewhile(
                    lambda ping: ping.fate is Fate.ANSWERED and not self._symptom.shows_in(ping),
                    reversed(later),
                )
            )
            if len(row) < 1 + max(self._symptom.connections, self._symptom.spared_pings + 1):
                return None
            first = row[-1]
            before = [ping.done_ns for ping in pings if ping.done_ns < first.sent_ns]
            return _sighting(first, first.done_ns, max([since_ns, *before[-1:]]))

        return self._await(find, within_s)

    def _witnessed_min(self, first: Ping) -> int:
        """How many pings must show it, so that a stall of this machine is not taken for it."""
        if self._partial or first.fate in (Fate.CLOSED, Fate.REFUSED):
            return 1
        return 2 if first.fate is Fate.SILENT else 3

    def relax(self, interval_s: float) -> None:
        """From now on ping only this often."""
        self._interval_s = interval_s

    def _await(self, find: _Finder, within_s: float) -> Sighting | None:
        deadline_s = time.monotonic() + within_s
        with self._pinged:
            while (found := find(self._pings)) is None:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or not self._pinged.wait(left_s):
                    return None
        return found

    def _see_it_healthy(self) -> None:
        """A few answers on end: one that is late on a busy machine says nothing yet."""

        def answered() -> bool:
            last = self._pings[-_HEALTHY_PINGS:]
            return len(last) == _HEALTHY_PINGS and {ping.fate for ping in last} == {Fate.ANSWERED}

        with self._pinged:
            if self._pinged.wait_for(answered, timeout=_HEALTHY_WITHIN_S):
                return
            seen = ", ".join(sorted({ping.fate for ping in self._pings})) or "not answered"
        raise PerfchaosError(
            f"{self._route} is not healthy before the fault: pings were {seen}",
            next_step="see that it is up and that no earlier fault is left (perfchaos heal)",
        )

    def _watch(self) -> None:
        while not self._ended.is_set():
            ping = self._ping()
            with self._pinged:
                self._pings.append(ping)
                self._pinged.notify_all()
            self._ended.wait(self._interval_s)

    def _ping(self) -> Ping:
        sent_ns = time.monotonic_ns()
        try:
            if self._connection is None:
                self._connection = _connect(self._route)
            if self._partial:
                # A toxic is in place a moment after the connection; do not outrun it.
                time.sleep(self._interval_s)
            sent_ns = time.monotonic_ns()
            fate = _ask(self._connection, self._route)
        except ConnectionRefusedError:
            fate = Fate.REFUSED
        except TimeoutError:
            fate = Fate.SILENT
        except OSError:
            fate = Fate.CLOSED
        ping = Ping(sent_ns=sent_ns, done_ns=time.monotonic_ns(), fate=fate)
        if fate is not Fate.ANSWERED or self._partial or self._route.protocol != "redis":
            self._hang_up()
        if self._connection is None and fate is Fate.ANSWERED and not self._partial:
            with suppress(OSError):  # The next ping goes over a connection opened before it.
                self._connection = _connect(self._route)
        return ping

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _end(self) -> None:
        self._ended.set()
        self._thread.join()
        self._hang_up()


def _sighting(ping: Ping, at_ns: int, not_yet_ns: int) -> Sighting:
    return Sighting(at_ns=at_ns, resolution_ms=(at_ns - not_yet_ns) / 1e6, fate=ping.fate)


def _connect(route: Route) -> socket.socket:
    connection = socket.create_connection((route.host, route.port), timeout=_PATIENCE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not route.tls:
        return connection
    # Nothing secret is sent and nothing said is believed: whose certificate it is does not matter.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        return context.wrap_socket(connection)
    except BaseException:
        connection.close()
        raise


def _ask(connection: socket.socket, route: Route) -> Fate:
    """Send one question and wait for the beginning of its answer."""
    match route.protocol:
        case "redis":
            connection.sendall(b"PING\r\n")
            return _judge(_receive(connection, until=b"\n"), not_ready=_REDIS_NOT_READY)
        case "postgres":
            connection.sendall(_startup(route))
            answer = _receive(connection, until=b"")
            not_ready = answer[:1] == b"E" and any(code in answer for code in _POSTGRES_NOT_READY)
            return Fate.NOT_READY if not_ready else Fate.ANSWERED
        case "tcp":
            # Nothing to ask: an end of stream says that nobody is behind a proxy that accepts.
            connection.settimeout(_INTERVAL_S * 5)
            try:
                if not connection.recv(1):
                    raise ConnectionResetError
            except TimeoutError:
                pass
            return Fate.ANSWERED


def _judge(answer: bytes, *, not_ready: tuple[bytes, ...]) -> Fate:
    return Fate.NOT_READY if answer.startswith(not_ready) else Fate.ANSWERED


def _receive(connection: socket.socket, *, until: bytes) -> bytes:
    """Bytes up to the first `until`, or whatever comes first; within the patience in all."""
    deadline_s = time.monotonic() + _PATIENCE_S
    received = b""
    while not received or until not in received:
        connection.settimeout(max(0.001, deadline_s - time.monotonic()))
        chunk = connection.recv(4096)
        if not chunk:
            raise ConnectionResetError
        received += chunk
    return received


def _startup(route: Route) -> bytes:
    """The first message of a Postgres session; a request for a password answers it, or an error."""
    parameters = f"user\0{route.user}\0database\0{route.database}\0application_name\0perfchaos\0\0"
    body = struct.pack("!I", _PROTOCOL_3_0) + parameters.encode()
    return struct.pack("!I", len(body) + 4) + body
