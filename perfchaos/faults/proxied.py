"""One dependency as the target reaches it: through a proxy of a Toxiproxy server."""

import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from perfchaos.errors import PerfchaosError
from perfchaos.faults.services import Dependency, route_to, service
from perfchaos.faults.toxiproxy_client import (
    ProxyState,
    ToxiproxyAddress,
    ToxiproxyError,
    ToxiproxyServer,
)
from perfchaos.faults.witness import Route
from perfchaos.launches import learn_launch
from perfchaos.processes import running

if TYPE_CHECKING:
    from perfchaos.target import Postgres, Redis, Target

_UPSTREAM_STEP = (
    "correct the proxy; where Toxiproxy calls the same server by another name, give "
    "{dependency}.upstream and put its host into blast_radius.addresses"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxied:
    """
    `dependency` behind `proxy` of the Toxiproxy server at `toxiproxy`.

    `route` is the proxy's listening side, where the target connects.
    """

    dependency: str
    proxy: str
    toxiproxy: ToxiproxyAddress
    route: Route


def proxied(target: "Target", dependency: Dependency) -> Proxied:
    """
    The target's Redis or Postgres behind its proxy, as the Toxiproxy server knows it just now.

    Raises:
        PerfchaosError: the target has no such dependency or no proxy before it, or the Toxiproxy
            server does not answer or does not know the proxy, or the proxy leads elsewhere.

    """
    found = service(target, dependency)
    proxy = found.proxy
    if proxy is None:
        raise PerfchaosError(
            f"target {target.name!r} does not reach {dependency} through Toxiproxy",
            next_step=f"give {target.path} {dependency}.proxy",
        )
    address = toxiproxy_of(target)
    with ToxiproxyServer(address) as server:
        state = server.proxy(proxy)
    if complaint := _elsewhere(found, state):
        raise PerfchaosError(complaint, next_step=_UPSTREAM_STEP.format(dependency=dependency))
    return Proxied(
        dependency=dependency,
        proxy=proxy,
        toxiproxy=address,
        route=route_to(target, dependency, host=_host(state, address), port=port_of(state)),
    )


def proxies_elsewhere(target: "Target") -> list[str]:
    """
    Which of the target's proxies lead to another server than the dependency they stand for.

    Nothing is said of a Toxiproxy that does not answer: no fault goes through it either.
    """
    if target.toxiproxy is None:
        return []
    sections = {"redis": target.redis, "postgres": target.postgres}
    try:
        with ToxiproxyServer(toxiproxy_of(target)) as server:
            known = {state.name: state for state in server.proxies()}
    except ToxiproxyError:
        return []
    return [
        f"{name}.proxy: {complaint} ({_UPSTREAM_STEP.format(dependency=name)})"
        for name, section in sections.items()
        if section is not None and section.proxy in known
        if (complaint := _elsewhere(section, known[section.proxy]))
    ]


def siblings_of(on: Proxied) -> tuple[ProxyState, ...]:
    """
    The other proxies of the same Toxiproxy server that lead where this one leads.

    Raises:
        ToxiproxyError: the server does not answer, or does not know the proxy any more.

    """
    with ToxiproxyServer(on.toxiproxy) as server:
        own, others = server.proxy(on.proxy), server.proxies()
    return tuple(
        other
        for other in others
        if other.name != own.name and _same_place(other.upstream, own.upstream)
    )


def port_of(state: ProxyState) -> int:
    """Where a proxy listens."""
    return int(state.listen.rpartition(":")[2])


def toxiproxy_of(target: "Target") -> ToxiproxyAddress:
    """
    The target's Toxiproxy server. It may be restarted only if the blast radius has it.

    Raises:
        PerfchaosError: the target has none.

    """
    if target.toxiproxy is None:
        raise PerfchaosError(
            f"target {target.name!r} has no Toxiproxy",
            next_step=f"give {target.path} a toxiproxy section",
        )
    may_restart = "toxiproxy" in target.blast_radius.services
    control = target.toxiproxy.control if may_restart else None
    if control is not None and control.kind == "process":
        # Now, for whoever may have to restart it: once it has died, nothing shows how it ran.
        with suppress(PerfchaosError):
            process = running(Path(control.name))
            if process is not None or control.start:
                learn_launch(Path(control.name), process.pid if process else 0, control.start)
    return ToxiproxyAddress(
        url=target.toxiproxy.url,
        token_env=target.toxiproxy.token_env,
        control=str(control) if control else None,
    )


def _elsewhere(section: "Redis | Postgres", state: ProxyState) -> str | None:
    """What is wrong if the proxy does not lead to the dependency's own address."""
    own = section.upstream or f"{section.host}:{section.port}"
    if state.upstream == own:
        return None
    host, _, port = state.upstream.rpartition(":")
    if section.upstream is None and port == str(section.port):
        there, here = _addresses(host), _addresses(section.host)
        if there and there <= here:
            return None
    return f"proxy {state.name!r} leads to {state.upstream}, not to {own}"


def _same_place(one: str, other: str) -> bool:
    if one == other:
        return True
    (host, _, port), (other_host, _, other_port) = one.rpartition(":"), other.rpartition(":")
    return port == other_port and not _addresses(host).isdisjoint(_addresses(other_host))


def _addresses(host: str) -> set[str]:
    try:
        return {str(entry[4][0]) for entry in socket.getaddrinfo(host.strip("[]"), None)}
    except OSError:
        return set()


def _host(state: ProxyState, address: ToxiproxyAddress) -> str:
    """Where to connect to: a proxy that listens everywhere is reached where its API is."""
    host = state.listen.rpartition(":")[0].strip("[]")
    return address.host if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - not bound here
