"""One dependency as the target reaches it: through a proxy of a Toxiproxy server."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perfchaos.errors import PerfchaosError
from perfchaos.faults.services import Dependency, route_to, service
from perfchaos.faults.toxiproxy_client import ProxyState, ToxiproxyAddress, ToxiproxyServer
from perfchaos.faults.witness import Route

if TYPE_CHECKING:
    from perfchaos.target import Target


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
            server does not answer or does not know the proxy.

    """
    proxy = service(target, dependency).proxy
    if proxy is None:
        raise PerfchaosError(
            f"target {target.name!r} does not reach {dependency} through Toxiproxy",
            next_step=f"give {target.path} {dependency}.proxy",
        )
    address = toxiproxy_of(target)
    with ToxiproxyServer(address) as server:
        state = server.proxy(proxy)
    return Proxied(
        dependency=dependency,
        proxy=proxy,
        toxiproxy=address,
        route=route_to(target, dependency, host=_host(state, address), port=_port(state)),
    )


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
    return ToxiproxyAddress(
        url=target.toxiproxy.url,
        token_env=target.toxiproxy.token_env,
        control=str(target.toxiproxy.control) if target.toxiproxy.control and may_restart else None,
    )


def _host(state: ProxyState, address: ToxiproxyAddress) -> str:
    """Where to connect to: a proxy that listens everywhere is reached where its API is."""
    host = state.listen.rpartition(":")[0].strip("[]")
    return address.host if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - not bound here


def _port(state: ProxyState) -> int:
    return int(state.listen.rpartition(":")[2])
