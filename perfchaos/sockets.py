"""Which process of this machine holds which end of a TCP connection, as far as we may look."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A local end, and the process that holds it; a listening socket is one too."""

    address: str
    port: int
    pid: int
    connected: bool


def held() -> Sequence[Held]:
    """All local ends whose holder we may see."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:  # macOS tells it to root only.
        return ()
    return [
        Held(
            address=connection.laddr.ip.removeprefix("::ffff:"),
            port=connection.laddr.port,
            pid=connection.pid,
            connected=connection.status == psutil.CONN_ESTABLISHED,
        )
        for connection in connections
        if connection.laddr and connection.pid is not None
    ]


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
    """Who holds a local TCP port: `pid 123 (redis-server)`; None if we may not see it."""
    return next((told(end.pid) for end in held() if end.port == port), None)


def told(pid: int) -> str:
    """A process in words."""
    try:
        return f"pid {pid} ({psutil.Process(pid).name()})"
    except psutil.Error:
        return f"pid {pid}"
