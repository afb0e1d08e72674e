"""Opening connections: names resolved, addresses tried in turn, failures put into classes."""

import asyncio
import errno
import socket
import ssl

from perfchaos.recording.layout import Failure
from perfchaos.workload.connection import Connection, Sender
from perfchaos.workload.plan import Plan
from perfchaos.workload.rendering import Origin

_RESOLVED_FOR_S = 1.0  # a name is looked up at most this often, so failover by DNS is seen

_BY_TYPE: tuple[tuple[type[OSError], Failure], ...] = (
    (TimeoutError, Failure.CONNECT_TIMEOUT),
    (ssl.SSLError, Failure.TLS),
    (socket.gaierror, Failure.NAME_NOT_FOUND),
    (ConnectionRefusedError, Failure.CONNECTION_REFUSED),
    (ConnectionError, Failure.CLOSED_UNUSED),
)
_BY_NUMBER = dict.fromkeys(
    (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM),
    Failure.OWN_LIMIT,
)

Address = tuple[socket.AddressFamily, tuple[object, ...]]


class DialError(Exception):
    """No connection; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.label)
        self.failure = failure


class Dialer:
    """Opens connections to one origin."""

    def __init__(self, plan: Plan, loop: asyncio.AbstractEventLoop) -> None:
        self._origin = Origin.of(plan.request.url)
        self._timeout_s = plan.request.timeout_s
        self._tls = (
            tls_context(ca_file=plan.tls_ca_file, verify=plan.tls_verify)
            if self._origin.tls
            else None
        )
        self._loop = loop
        self._resolution: asyncio.Task[list[Address]] | None = None
        self._resolved_at_s = 0.0

    async def connect(self, sender: Sender) -> Connection:
        """An open connection, TLS included. Raises DialError."""
        try:
            async with asyncio.timeout(self._timeout_s):
                addresses = await self._addresses()
                for address in addresses[:-1]:
                    try:
                        return await self._connect_to(address, sender)
                    except OSError:
                        continue
                return await self._connect_to(addresses[-1], sender)
        except OSError as error:
            raise DialError(failure_of(error)) from error
        except UnicodeError as error:  # No name at all, in the eyes of the resolver.
            raise DialError(Failure.NAME_NOT_FOUND) from error

    async def _connect_to(self, address: Address, sender: Sender) -> Connection:
        family, where = address
        plain = socket.socket(family, socket.SOCK_STREAM)
        try:
            plain.setblocking(False)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.sock_connect(plain, where)
            _, connection = await self._loop.create_connection(
                lambda: Connection(sender, plain if self._tls is None else None),
                sock=plain,
                ssl=self._tls,
                server_hostname=self._origin.host if self._tls is not None else None,
            )
        except BaseException:
            plain.close()
            raise
        return connection

    async def _addresses(self) -> list[Address]:
        """All attempts share one look-up and its failure."""
        fresh = self._loop.time() - self._resolved_at_s < _RESOLVED_FOR_S
        if self._resolution is None or (self._resolution.done() and not fresh):
            self._resolution = self._loop.create_task(self._look_up())
        return await asyncio.shield(self._resolution)

    async def _look_up(self) -> list[Address]:
        try:
            found = await self._loop.getaddrinfo(
                self._origin.host, self._origin.port, type=socket.SOCK_STREAM
            )
        finally:
            self._resolved_at_s = self._loop.time()
        return [(family, where) for family, _, _, _, where in found]


def failure_of(error: OSError) -> Failure:
    """The class of a failed attempt to connect."""
    for kind, failure in _BY_TYPE:
        if isinstance(error, kind):
            return failure
    return _BY_NUMBER.get(error.errno or 0, Failure.UNREACHABLE)


def tls_context(*, ca_file: str | None, verify: bool) -> ssl.SSLContext:
    """What a TLS connection to the target must prove; without `verify`, nothing."""
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
