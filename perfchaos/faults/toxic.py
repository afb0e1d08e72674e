"""The fault `toxic`: a Toxiproxy toxic added to a proxy."""

import re
from dataclasses import dataclass
from typing import ClassVar, Literal

from perfchaos.errors import InvalidInput, PerfchaosError
from perfchaos.faults.fault import OUR_TOXICS, FaultVanished, Reach, toxic_prefix
from perfchaos.faults.proxied import Proxied
from perfchaos.faults.toxiproxy_client import (
    HARM_LANDS_WITHIN_S,
    Attributes,
    NotThere,
    ProxyState,
    ToxicState,
    ToxiproxyAddress,
    ToxiproxyServer,
)
from perfchaos.faults.toxiproxy_restart import revive
from perfchaos.faults.witness import Fate, Symptom

# The server accepts nearly anything, a latency of -50 and misspelt attributes included.
_ATTRIBUTES = {
    "latency": {"latency", "jitter"},
    "bandwidth": {"rate"},
    "slow_close": {"delay"},
    "timeout": {"timeout"},
    "reset_peer": {"timeout"},
    "slicer": {"average_size", "size_variation", "delay"},
    "limit_data": {"bytes"},
}

# Shorter delays than this drown in the noise of a busy machine.
_DELAY_MIN_MS = 5.0

# More than this takes too many pings to use up.
_BYTES_MAX = 500
_PING_BYTES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxic:
    """
    A toxic on the proxy of one dependency.

    `type` and `attributes` are Toxiproxy's own: `latency` (latency and jitter in ms), `bandwidth`
    (rate in KB/s), `timeout` and `reset_peer` (timeout in ms), `slow_close` (delay in ms), `slicer`
    (average_size and size_variation in bytes, delay in µs), `limit_data` (bytes). `toxicity` is the
    share of connections it is drawn for.
    """

    on: Proxied
    type: str
    stream: Literal["upstream", "downstream"] = "downstream"
    toxicity: float = 1.0
    attributes: Attributes

    @property
    def kind(self) -> str:
        """What the target notices: the toxic's type."""
        return self.type

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
        """What pings show of it; None for toxics that spare a message as short as a ping."""
        route = self.on.route
        if route.protocol == "tcp":
            return None  # Merely connecting meets no silence and no delay.
        unanswered = (Fate.SILENT, Fate.CLOSED)
        match self.type:
            case "timeout" | "reset_peer":
                seen = Symptom(route=route, fates=unanswered, ratio=self.toxicity)
            case "bandwidth" if self.attributes.get("rate") == 0:
                seen = Symptom(route=route, fates=(Fate.SILENT,), ratio=self.toxicity)
            case "limit_data" if self.attributes.get("bytes", 0) <= _BYTES_MAX:
                seen = Symptom(
                    route=route,
                    fates=unanswered,
                    ratio=self.toxicity,
                    spared_pings=self.attributes.get("bytes", 0) // _PING_BYTES,
                )
            case "latency" if self._delay_ms >= _DELAY_MIN_MS:
                seen = Symptom(route=route, delay_ms=self._delay_ms, ratio=self.toxicity)
            case _:
                return None
        return seen if seen.discernible else None

    @property
    def _delay_ms(self) -> float:
        """The least a `latency` toxic adds, less a little for the rounding of clocks."""
        return 0.9 * (self.attributes.get("latency", 0) - self.attributes.get("jitter", 0))

    def mistakes(self) -> list[str]:
        """What is wrong with it, in words; the server itself would accept most of it."""
        known = _ATTRIBUTES.get(self.type)
        if known is None:
            return [f"type {self.type!r} is none of {', '.join(sorted(_ATTRIBUTES))}"]
        found = [
            f"{self.type} has no attribute {name!r}, only {', '.join(sorted(known))}"
            for name in sorted(set(self.attributes) - known)
        ]
        found += [
            f"{name} is {value!r}, not a whole number of at least 0"
            for name, value in self.attributes.items()
            if not isinstance(value, int) or isinstance(value, bool) or value < 0
        ]
        if self.stream not in ("upstream", "downstream"):
            found.append(f"stream is {self.stream!r}, not 'upstream' or 'downstream'")
        if not 0 < self.toxicity <= 1:
            found.append(f"toxicity is {self.toxicity!r}, not above 0 and at most 1")
        return found

    def prepare(self, run_id: str) -> "RemoveToxic":
        """
        See that the proxy is there and has no such toxic of this run; changes nothing.

        Raises:
            InvalidInput: the toxic makes no sense.
            PerfchaosError: the proxy is not there, is disabled, or has the toxic already.

        """
        if mistakes := self.mistakes():
            raise InvalidInput(
                f"the toxic for proxy {self.on.proxy!r}", mistakes, next_step="correct the action"
            )
        name = f"{toxic_prefix(run_id)}{_word(self.on.proxy)}-{self.type}-{self.stream}"
        with ToxiproxyServer(self.on.toxiproxy) as server:
            proxies = server.proxies()
        before = _find(proxies, self.on.proxy, self.on.toxiproxy)
        if not before.enabled:
            raise PerfchaosError(
                f"proxy {self.on.proxy!r} is disabled, a toxic on it would harm nothing",
                next_step="enable the proxy first",
            )
        if before.toxic(name) is not None:
            raise PerfchaosError(
                f"proxy {self.on.proxy!r} has the toxic {name!r} already",
                next_step="heal the fault before injecting it again",
            )
        return RemoveToxic(
            toxiproxy=self.on.toxiproxy,
            proxy=self.on.proxy,
            toxic=name,
            proxies=tuple(proxy.without(OUR_TOXICS) for proxy in proxies),
        )

    def harm(self, undo: "RemoveToxic") -> None:
        """Add the toxic and see that it is there."""
        with ToxiproxyServer(self.on.toxiproxy) as server:
            server.add_toxic(self.on.proxy, self._named(undo.toxic))

    def _named(self, name: str) -> ToxicState:
        return ToxicState(
            name=name,
            type=self.type,
            stream=self.stream,
            toxicity=self.toxicity,
            attributes=self.attributes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveToxic:
    """
    Undo of a toxic: remove it.

    `proxies` is what the server held before the harm, for the day it has to be restarted.
    """

    mechanism: ClassVar[str] = "toxiproxy toxic"
    toxiproxy: ToxiproxyAddress
    proxy: str
    toxic: str
    proxies: tuple[ProxyState, ...]

    def __str__(self) -> str:
        return f"remove toxic {self.toxic!r} from proxy {self.proxy!r} at {self.toxiproxy.url}"

    @property
    def lands_within_s(self) -> float:
        """As long as the server may take over a request."""
        return HARM_LANDS_WITHIN_S

    def see_it_in_force(self) -> None:
        """See that the proxy has the toxic."""
        with ToxiproxyServer(self.toxiproxy) as server:
            try:
                there = server.proxy(self.proxy).toxic(self.toxic) is not None
            except NotThere:
                there = False
        if not there:
            raise FaultVanished(
                f"toxic {self.toxic!r} is no longer on proxy {self.proxy!r}",
                next_step=f"find out who else changes {self.toxiproxy.url} during the run",
            )

    def replay(self) -> None:
        """Remove the toxic, and see that it is gone. A proxy that is gone has no toxic either."""
        with ToxiproxyServer(self.toxiproxy) as server:
            try:
                server.remove_toxic(self.proxy, self.toxic)
            except NotThere:
                server.restore(self.proxies)

    def last_resort(self) -> None:
        """Restart the server, give it back what it held, and undo again."""
        revive(self.toxiproxy, self.proxies)
        self.replay()


def _find(proxies: tuple[ProxyState, ...], name: str, at: ToxiproxyAddress) -> ProxyState:
    for proxy in proxies:
        if proxy.name == name:
            return proxy
    known = ", ".join(repr(proxy.name) for proxy in proxies) or "none at all"
    raise NotThere(
        f"Toxiproxy at {at.url} has no proxy {name!r} (it has {known})",
        next_step="correct the proxy's name in the target file",
    )


def _word(name: str) -> str:
    """A proxy's name as a part of a toxic's, which stands in a URL."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)
