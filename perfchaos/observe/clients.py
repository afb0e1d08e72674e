"""
Who is connected to a dependency, and whether they came through its proxy.

A fault of the proxy harms nobody who goes past it, and a test of it would prove nothing. The
dependency itself is asked who its clients are, around the proxy; one session of our own through
the proxy shows what the proxy's sessions look like from there.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from perfchaos import sockets
from perfchaos.errors import PerfchaosError
from perfchaos.faults import Route
from perfchaos.postgres_client import APPLICATION_NAME, Login, login_of
from perfchaos.postgres_client import connected as connected_to_postgres
from perfchaos.redis_client import CLIENT_NAME
from perfchaos.redis_client import connected as connected_to_redis
from perfchaos.target import Redis, Target

# Who is still there after this is no health check that looked in.
_CONFIRMED_AFTER_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The far end of a session, as the dependency sees it; a path is a socket of its own host."""

    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """
    The sessions of others that last: how many came `through` the proxy, and how many `past` it.

    `who` names those that came past it. A session from the proxy's own address whose process
    cannot be told is taken for one that came through.
    """

    through: int
    past: int
    who: tuple[str, ...]


def clients_of(target: Target, proxy: Route) -> Clients:
    """
    The clients of the target's Redis or Postgres, `proxy` being where its proxy listens.

    Raises:
        PerfchaosError: the dependency cannot be asked, or not through the proxy.

    """
    if proxy.protocol == "redis" and target.redis is not None:
        return redis_clients(target.redis, proxy)
    return postgres_clients(login_of(target), proxy)


def redis_clients(server: Redis, proxy: Route) -> Clients:
    """The clients of a Redis; raises RedisUnavailable."""
    return _lasting(lambda: _of_redis(server, proxy))


def postgres_clients(login: Login, proxy: Route) -> Clients:
    """The clients of a Postgres; raises PerfchaosError."""
    return _lasting(lambda: _of_postgres(login, proxy))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One look: the peers that came through, and the others with what is known of them."""

    through: frozenset[Peer]
    past: dict[Peer, str]


def _lasting(look: Callable[[], _Seen]) -> Clients:
    first = look()
    if not first.past:
        return Clients(through=len(first.through), past=0, who=())
    time.sleep(_CONFIRMED_AFTER_S)
    second = look()
    past = Counter(who for peer, who in second.past.items() if peer in first.past)
    return Clients(
        through=len(first.through | second.through),
        past=past.total(),
        who=tuple(f"{count} x {who}" for who, count in sorted(past.items())),
    )


def _sorted_out(ours: Peer, others: Sequence[Peer], proxy: Route) -> _Seen:
    """`ours` is our session through the proxy, which must still be open, `others` are not ours."""
    ends = sockets.held()
    pids = {(end.address, end.port): end.pid for end in ends}
    proxy_pid = pids.get((ours.address, ours.port))
    past, from_server = {}, []
    for peer in others:
        pid = pids.get((peer.address, peer.port))
        if peer.address != ours.address:
            past[peer] = f"from {peer.address}" if pid is None else sockets.told(pid)
        elif pid is not None and proxy_pid is not None:
            if pid == proxy_pid:
                from_server.append(peer)
            else:
                past[peer] = sockets.told(pid)
    if proxy_pid is not None:
        # Its server may have other proxies; at this one are as many sessions as it has accepted.
        at_proxy = sum(
            end.connected and (end.port, end.pid) == (proxy.port, proxy_pid) for end in ends
        )
        from_server.sort(key=lambda peer: peer.port)
        past |= {
            peer: f"{sockets.told(proxy_pid)} by another of its proxies"
            for peer in from_server[at_proxy - 1 :]
        }
    return _Seen(through=frozenset(others) - past.keys(), past=past)


def _of_redis(server: Redis, proxy: Route) -> _Seen:
    through = replace(server, host=proxy.host, port=proxy.port)
    with connected_to_redis(server, "who its clients are") as client:
        with connected_to_redis(through, "who comes through its proxy") as at_proxy:
            number = str(at_proxy.client_id())
            found: Any = client.client_list(_type="normal") + client.client_list(_type="pubsub")
            [ours] = [_redis_peer(each) for each in found if each["id"] == number]
            others = [_redis_peer(each) for each in found if each["name"] != CLIENT_NAME]
            return _sorted_out(ours, others, proxy)


def _redis_peer(client: dict[str, str]) -> Peer:
    address, _, port = client["addr"].rpartition(":")
    return Peer(address=address.strip("[]").removeprefix("::ffff:"), port=int(port))


def _of_postgres(login: Login, proxy: Route) -> _Seen:
    through = replace(login, host=proxy.host, port=proxy.port)
    with connected_to_postgres(login, "who its clients are") as session:
        with connected_to_postgres(through, "who comes through its proxy") as at_proxy:
            [(number,)] = at_proxy.execute("SELECT pg_backend_pid()").fetchall()
            found = session.execute(
                "SELECT pid, application_name, host(client_addr), client_port"
                " FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND client_port IS NOT NULL"
            ).fetchall()
            ours = [_postgres_peer(row) for row in found if row[0] == number]
            if not ours:
                raise PerfchaosError(
                    f"{login} does not show whose its sessions are",
                    next_step=f"grant pg_monitor to {login.user!r}",
                )
            others = [_postgres_peer(row) for row in found if row[1] != APPLICATION_NAME]
            return _sorted_out(ours[0], others, proxy)


def _postgres_peer(row: tuple[Any, ...]) -> Peer:
    _, _, address, port = row
    return Peer(address=address or "a local socket", port=port)
