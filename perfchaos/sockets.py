"""
Which process of this machine holds which end of a TCP connection, as far as we may look.

A connection is known by both its ends. Linux gives one local port to several connections that lead
to different places, so that who is found by the local end alone may be somebody else.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One end of a connection; `address` is None where only the port is known."""

    address: str | None
    port: int

    def may_be(self, other: "End") -> bool:
        """Whether both can be the same end, as far as their addresses are known."""
        unknown = self.address is None or other.address is None
        return self.port == other.port and (unknown or self.address == other.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A local end and the process that holds it; `remote` is None for a socket that listens."""

    local: End
    remote: End | None
    pid: int


def held(pids: Iterable[int] | None = None) -> Sequence[Held]:
    """All local ends whose holder we may see, or only those of some processes."""
    found: list[Held] = []
    for pid, connections in _connections(pids):
        found += [
            Held(
                local=_end(connection.laddr),
                remote=_end(connection.raddr) if connection.raddr else None,
                pid=connection.pid if pid is None else pid,
            )
            for connection in connections
            if connection.laddr
            and (pid is not None or connection.pid is not None)
            and connection.status in (psutil.CONN_ESTABLISHED, psutil.CONN_LISTEN)
        ]
    return found


def holder_between(ends: Iterable[Held], local: End, remote: End) -> int | None:
    """
    Who holds the local end of the connection between two ends.

    None if nobody that we may see does, or if it may be one of several.
    """
    pids = {
        end.pid
        for end in ends
        if end.remote is not None and end.local.may_be(local) and end.remote.may_be(remote)
    }
    return pids.pop() if len(pids) == 1 else None


def listening_ports(pids: Collection[int]) -> Collection[int] | None:
    """The TCP ports that these processes listen on; None if we may not see that."""
    ports = set()
    for pid in pids:
        try:
            connections = psutil.Process(pid).net_connections("tcp")
        except psutil.NoSuchProcess:
            continue
        except psutil.Error:
            return None
        ports |= {
            connection.laddr.port
            for connection in connections
            if connection.status == psutil.CONN_LISTEN
        }
    return ports


def holder_of(port: int) -> str | None:
    """
    Who holds a local TCP port: `pid 123 (redis-server)`; None if we may not see it.

    Who listens there, and else who is connected from there.
    """
    ends = sorted(held(), key=lambda end: end.remote is not None)
    return next((told(end.pid) for end in ends if end.local.port == port), None)


def told(pid: int) -> str:
    """A process in words."""
    try:
        return f"pid {pid} ({psutil.Process(pid).name()})"
    except psutil.Error:
        return f"pid {pid}"


def plain_address(address: str) -> str:
    """An address in the form in which all of them are compared."""
    return address.strip("[]").removeprefix("::ffff:")


def _end(address: tuple[str, int]) -> End:
    return End(address=plain_address(address[0]), port=address[1])


def _connections(pids: Iterable[int] | None) -> Iterator[tuple[int | None, Sequence[Any]]]:
    """Connections with the process that was asked for them; None where all were."""
    if pids is None:
        try:
            yield None, psutil.net_connections("tcp")
        except psutil.Error:  # macOS tells it to root only.
            return
        return
    for pid in pids:
        with suppress(psutil.Error):
            yield pid, psutil.Process(pid).net_connections("tcp")
