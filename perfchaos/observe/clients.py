"""
Who is connected to a dependency, and whether they came through its proxy.

A fault of the proxy harms nobody who goes past it, and a test of it would prove nothing. The
dependency itself is asked who its clients are, around the proxy; one session of our own through
the proxy shows what the proxy's sessions look like from there.

A process is named only by both ends of a connection of its own. What cannot be told is taken for a
client that came through: nobody is accused for lack of evidence. What perfchaos itself has open is
nobody's client.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from perfchaos import sockets
from perfchaos.errors import PerfchaosError
from perfchaos.faults import Proxied
from perfchaos.faults.proxied import port_of, siblings_of
from perfchaos.postgres_client import APPLICATION_NAME, Login, login_of
from perfchaos.postgres_client import connected as connected_to_postgres
from perfchaos.redis_client import CLIENT_NAME
from perfchaos.redis_client import connected as connected_to_redis
from perfchaos.sockets import End, Held
from perfchaos.target import Redis, Target

# Who is still there after this is no health check that looked in.
_CONFIRMED_AFTER_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """
    One session as the dependency sees it: the far end, and the near one as far as it is known.

    A far end whose address is a path is a socket of the dependency's own host.
    """

    peer: End
    server: End


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


def clients_of(target: Target, on: Proxied) -> Clients:
    """
    The clients of the target's Redis or Postgres that stands behind the proxy `on`.

    Raises:
        PerfchaosError: the dependency cannot be asked, or not through the proxy.

    """
    if on.route.protocol == "redis" and target.redis is not None:
        return redis_clients(target.redis, on)
    return postgres_clients(login_of(target), on)


def redis_clients(server: Redis, on: Proxied) -> Clients:
    """The clients of a Redis; raises RedisUnavailable."""
    return _lasting(lambda: _of_redis(server, on))


def postgres_clients(login: Login, on: Proxied) -> Clients:
    """The clients of a Postgres; raises PerfchaosError."""
    return _lasting(lambda: _of_postgres(login, on))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One look: how many came through, and the others' far ends with what is known of them."""

    through: int
    past: dict[End, str]


def _lasting(look: Callable[[], _Seen]) -> Clients:
    first = look()
    if not first.past:
        return Clients(through=first.through, past=0, who=())
    time.sleep(_CONFIRMED_AFTER_S)
    second = look()
    past = Counter(who for end, who in second.past.items() if end in first.past)
    return Clients(
        through=max(first.through, second.through),
        past=past.total(),
        who=tuple(f"{count} x {who}" for who, count in sorted(past.items())),
    )


def _sorted_out(ours: Session, others: Sequence[Session], on: Proxied) -> _Seen:
    """`ours` is our session through the proxy, which must still be open, `others` are not ours."""
    ends = sockets.held()
    proxy_pid = sockets.holder_between(ends, ours.peer, ours.server)
    through, past = 0, {}
    for session in others:
        pid = sockets.holder_between(ends, session.peer, session.server)
        if pid == os.getpid():
            continue
        if session.peer.address == ours.peer.address and (None in (pid, proxy_pid)):
            through += 1  # It may be anybody behind that address, and nothing speaks against it.
        elif pid == proxy_pid and pid is not None:
            through += 1
        else:
            past[session.peer] = (
                f"from {session.peer.address}" if pid is None else sockets.told(pid)
            )
    beside = _beside(on, ends, proxy_pid) if proxy_pid is not None else {}
    return _Seen(through=max(0, through - len(beside)), past=past | beside)


def _beside(on: Proxied, ends: Sequence[Held], proxy_pid: int) -> dict[End, str]:
    """Whoever is connected to another proxy of the same server that leads to the same place."""
    names = {port_of(state): state.name for state in siblings_of(on) if state.enabled}
    found = {}
    for end in ends:
        if end.remote is None or end.pid != proxy_pid or end.local.port not in names:
            continue
        pid = sockets.holder_between(ends, end.remote, end.local)
        if pid != os.getpid():
            who = f"from {end.remote.address}" if pid is None else sockets.told(pid)
            found[end.remote] = f"{who} by the proxy {names[end.local.port]!r}"
    return found


def _of_redis(server: Redis, on: Proxied) -> _Seen:
    through = replace(server, host=on.route.host, port=on.route.port)
    with connected_to_redis(server, "who its clients are") as client:
        with connected_to_redis(through, "who comes through its proxy") as at_proxy:
            number = str(at_proxy.client_id())
            found: Any = client.client_list(_type="normal") + client.client_list(_type="pubsub")
            [ours] = [_redis_session(each, server) for each in found if each["id"] == number]
            others = [_redis_session(each, server) for each in found if each["name"] != CLIENT_NAME]
            return _sorted_out(ours, others, on)


def _redis_session(client: dict[str, str], server: Redis) -> Session:
    near = client.get("laddr")  # since Redis 6.2
    return Session(
        peer=_end(client["addr"]),
        server=_end(near) if near else End(address=None, port=server.port),
    )


def _end(text: str) -> End:
    address, _, port = text.rpartition(":")
    return End(address=sockets.plain_address(address), port=int(port))


def _of_postgres(login: Login, on: Proxied) -> _Seen:
    through = replace(login, host=on.route.host, port=on.route.port)
    with connected_to_postgres(login, "who its clients are") as session:
        with connected_to_postgres(through, "who comes through its proxy") as at_proxy:
            [(number,)] = at_proxy.execute("SELECT pg_backend_pid()").fetchall()
            # Of others' sessions Postgres does not tell the near address, and all have its port.
            [(port,)] = at_proxy.execute("SELECT inet_server_port()").fetchall()
            found = session.execute(
                "SELECT pid, application_name, host(client_addr), client_port"
                " FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND client_port IS NOT NULL"
            ).fetchall()
            ours = [_postgres_session(row, port) for row in found if row[0] == number]
            if not ours:
                raise PerfchaosError(
                    f"{login} does not show whose its sessions are",
                    next_step=f"grant pg_monitor to {login.user!r}",
                )
            others = [
                _postgres_session(row, port)
                for row in found
                if not str(row[1]).startswith(APPLICATION_NAME)
            ]
            return _sorted_out(ours[0], others, on)


def _postgres_session(row: tuple[Any, ...], server_port: int) -> Session:
    _, _, address, port = row
    return Session(
        peer=End(
            address=sockets.plain_address(address) if address else "a local socket", port=port
        ),
        server=End(address=None, port=server_port),
    )
