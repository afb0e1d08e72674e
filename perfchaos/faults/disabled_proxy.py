"""The fault `disabled proxy`: the port refuses connections and every open one is cut."""

from dataclasses import dataclass
from typing import ClassVar

from perfchaos.errors import PerfchaosError
from perfchaos.faults.fault import OUR_TOXICS, FaultVanished, Reach
from perfchaos.faults.proxied import Proxied
from perfchaos.faults.toxiproxy_client import (
    HARM_LANDS_WITHIN_S,
    NotThere,
    ProxyState,
    ToxiproxyAddress,
    ToxiproxyServer,
)
from perfchaos.faults.toxiproxy_restart import revive
from perfchaos.faults.witness import Fate, Symptom


@dataclass(frozen=True, slots=True, kw_only=True)
class DisabledProxy:
    """The proxy of one dependency disabled: what clients see of a service that is not running."""

    on: Proxied

    @property
    def kind(self) -> str:
        """What the target notices."""
        return "refused"

    @property
    def dependency(self) -> str:
        """The dependency behind the proxy."""
        return self.on.dependency

    @property
    def reach(self) -> Reach:
        """The proxy, on its server and where it listens."""
        return Reach(proxies=(self.on.proxy,), hosts=(self.on.toxiproxy.host, self.on.route.host))

    @property
    def symptom(self) -> Symptom | None:
        """Connections are cut, and then refused."""
        return Symptom(route=self.on.route, fates=(Fate.CLOSED, Fate.REFUSED))

    def prepare(self, run_id: str) -> "RestoreProxy":  # noqa: ARG002 - a proxy has one switch
        """
        Note whether the proxy is enabled, and what else the server holds; changes nothing.

        Raises:
            PerfchaosError: the proxy is not there, or is disabled already.

        """
        with ToxiproxyServer(self.on.toxiproxy) as server:
            before = server.proxy(self.on.proxy)
            proxies = server.proxies()
        if not before.enabled:
            raise PerfchaosError(
                f"proxy {self.on.proxy!r} is disabled already, so disabling it shows nothing",
                next_step="enable the proxy first",
            )
        return RestoreProxy(
            toxiproxy=self.on.toxiproxy,
            proxy=self.on.proxy,
            enabled=before.enabled,
            proxies=tuple(proxy.without(OUR_TOXICS) for proxy in proxies),
        )

    def harm(self, undo: "RestoreProxy") -> None:
        """Disable the proxy and see that it is."""
        with ToxiproxyServer(undo.toxiproxy) as server:
            server.set_enabled(undo.proxy, enabled=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreProxy:
    """
    Undo of a disabled proxy: put its switch back to where it was.

    `proxies` is what the server held before the harm, for the day it has to be restarted.
    """

    mechanism: ClassVar[str] = "toxiproxy proxy"
    toxiproxy: ToxiproxyAddress
    proxy: str
    enabled: bool
    proxies: tuple[ProxyState, ...]

    def __str__(self) -> str:
        switch = "enable" if self.enabled else "disable"
        return f"{switch} proxy {self.proxy!r} at {self.toxiproxy.url}"

    @property
    def lands_within_s(self) -> float:
        """As long as the server may take over a request."""
        return HARM_LANDS_WITHIN_S

    def see_it_in_force(self) -> None:
        """See that the switch is not where it was."""
        with ToxiproxyServer(self.toxiproxy) as server:
            try:
                back = server.proxy(self.proxy).enabled is self.enabled
            except NotThere:
                back = True
        if back:
            raise FaultVanished(
                f"proxy {self.proxy!r} is no longer disabled",
                next_step=f"find out who else changes {self.toxiproxy.url} during the run",
            )

    def replay(self) -> None:
        """Set the switch and see that it is set."""
        with ToxiproxyServer(self.toxiproxy) as server:
            try:
                server.set_enabled(self.proxy, enabled=self.enabled)
            except NotThere:
                server.restore(self.proxies)

    def last_resort(self) -> None:
        """Restart the server, give it back what it held, and undo again."""
        revive(self.toxiproxy, self.proxies)
        self.replay()
