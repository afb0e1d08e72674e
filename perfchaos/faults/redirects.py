"""Sees that clients of a Redis stay behind its proxy: a cluster sends them elsewhere."""

import socket

from perfchaos.errors import PerfchaosError
from perfchaos.faults.witness import Route
from perfchaos.target import Redis


def require_no_redirects(server: Redis, route: Route) -> None:
    """
    See that `server` sends its clients nowhere but to `route`, the listening side of its proxy.

    Raises:
        RedisUnavailable: it cannot be asked.
        PerfchaosError: it is a cluster whose nodes announce other addresses.

    """
    # Only who injects needs the client; the watchdog heals without it and must be up in no time.
    from perfchaos.redis_client import announced_nodes  # noqa: PLC0415

    beside = [
        f"{host}:{port}" for host, port in announced_nodes(server) if not _is_at(route, host, port)
    ]
    if beside:
        raise PerfchaosError(
            f"redis at {server.host}:{server.port} is a cluster that redirects its clients to "
            f"{', '.join(beside)}, past the proxy at {route.host}:{route.port}",
            next_step="put a proxy before every node and let the nodes announce the proxies "
            "(cluster-announce-ip, cluster-announce-port)",
        )


def _is_at(route: Route, host: str, port: int) -> bool:
    return port == route.port and bool(_addresses(host) & _addresses(route.host))


def _addresses(host: str) -> set[str]:
    """All addresses of a host; the name itself where it has none from here."""
    try:
        return {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return {host}
