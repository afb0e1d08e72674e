"""
A Toxiproxy server, spoken to through toxiproxy-python and believed only after reading back.

The client library keeps one address for the whole process, waits for ever on a server that hangs,
takes a 500 for success and sends local calls to `HTTP_PROXY`. Its classes reach the network only
through the name `APIConsumer`; here that name stands for a consumer which hands each call to the
server that the calling code has entered, and which has an address, timeouts, a token and status
checks of its own. Code that uses the library by itself in the same process is not affected.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import quote, urlsplit

import requests
import toxiproxy.proxy
import toxiproxy.server
from toxiproxy.api import APIConsumer

from perfchaos.errors import PerfchaosError, Unanswered

# Calls take 0.5 to 9 ms up to 1000 connections; a server that has not answered after this hangs.
# Its own handlers give up only after 25 s.
_TIMEOUT_S = 2.0

HARM_LANDS_WITHIN_S = 30.0
"""For how long a change that a server was asked for may still come: its handlers give up before."""

type Attributes = Mapping[str, int]


class ToxiproxyError(PerfchaosError):
    """The Toxiproxy server did not do what it was asked to."""


class ToxiproxySilent(ToxiproxyError, Unanswered):
    """The Toxiproxy server cannot be reached, or hangs."""


class NotThere(ToxiproxyError):
    """The Toxiproxy server has no proxy or toxic of that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToxiproxyAddress:
    """
    Where a Toxiproxy server's API is, and how the server itself is restarted.

    `token_env` names the environment variable that holds the API token. `control` is a handle such
    as `process:/run/toxiproxy.pid`, or None where nobody but a person can restart it.
    """

    url: str
    token_env: str | None = None
    control: str | None = None

    @property
    def host(self) -> str:
        """The host of the API, without the brackets of an IPv6 address."""
        return urlsplit(self.url).hostname or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToxicState:
    """One toxic as the server reports it; delays in ms, rates in KB/s, sizes in bytes."""

    name: str
    type: str
    stream: str
    toxicity: float
    attributes: Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyState:
    """One proxy as the server reports it."""

    name: str
    listen: str
    upstream: str
    enabled: bool
    toxics: tuple[ToxicState, ...]

    def without(self, prefix: str) -> "ProxyState":
        """The same without the toxics whose names begin so."""
        kept = tuple(toxic for toxic in self.toxics if not toxic.name.startswith(prefix))
        return replace(self, toxics=kept)

    def toxic(self, name: str) -> ToxicState | None:
        """The toxic of that name, if the proxy has it."""
        return next((toxic for toxic in self.toxics if toxic.name == name), None)


class ToxiproxyServer:
    """
    One Toxiproxy server. Every change is read back before it is believed.

    Use it as a context manager: it keeps one connection to the API. All methods raise
    ToxiproxySilent when the server is not reached within two seconds, NotThere for an unknown
    proxy or toxic, and ToxiproxyError for any other answer than success.
    """

    def __init__(self, address: ToxiproxyAddress, *, timeout_s: float = _TIMEOUT_S) -> None:
        self.address = address
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.trust_env = False  # No HTTP_PROXY, no .netrc: the address is the address.
        self._session.headers["User-Agent"] = "perfchaos"
        if address.token_env:
            self._session.headers["Authorization"] = f"Bearer {_token(address.token_env)}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._session.close()

    def proxies(self) -> tuple[ProxyState, ...]:
        """All proxies of the server with their toxics, by name."""
        answer = self.call("GET", "/proxies") or {}
        return tuple(_proxy(answer[name]) for name in sorted(answer))

    def proxy(self, name: str) -> ProxyState:
        """One proxy with its toxics."""
        return _proxy(self.call("GET", f"/proxies/{quote(name, safe='')}"))

    def add_toxic(self, proxy: str, toxic: ToxicState) -> None:
        """Add a toxic and see that it is there as asked for."""
        with self._entered():
            _handle(proxy).add_toxic(
                name=toxic.name,
                type=toxic.type,
                stream=toxic.stream,
                toxicity=toxic.toxicity,
                attributes=dict(toxic.attributes),
            )
        self._see_toxic(proxy, toxic)

    def update_toxic(self, proxy: str, toxic: ToxicState) -> None:
        """
        Change the toxicity and attributes of the toxic of that name, and see that it was done.

        Up to Toxiproxy 2.12 this can hang the server while clients abort connections.
        """
        where = f"/proxies/{quote(proxy, safe='')}/toxics/{quote(toxic.name, safe='')}"
        self.call("POST", where, {"toxicity": toxic.toxicity, "attributes": dict(toxic.attributes)})
        self._see_toxic(proxy, toxic)

    def remove_toxic(self, proxy: str, name: str) -> None:
        """Remove a toxic and see that it is gone; one that is gone already is fine."""
        try:
            with self._entered():
                _handle(proxy).destroy_toxic(quote(name, safe=""))
        except NotThere:
            pass
        if self.proxy(proxy).toxic(name) is not None:
            raise ToxiproxyError(
                f"toxic {name!r} on proxy {proxy!r} was not removed",
                next_step="run 'perfchaos heal'",
            )

    def set_enabled(self, proxy: str, *, enabled: bool) -> None:
        """Enable or disable a proxy, and see that it is."""
        with self._entered():
            handle = _handle(proxy)
            handle.enable() if enabled else handle.disable()
        if self.proxy(proxy).enabled is not enabled:
            raise ToxiproxyError(
                f"proxy {proxy!r} was not {'enabled' if enabled else 'disabled'}",
                next_step="run 'perfchaos heal'",
            )

    def restore(self, proxies: tuple[ProxyState, ...]) -> None:
        """
        Make a server that lost its proxies have them again, with the toxics they had.

        Proxies that are there are left alone; the library's own `populate` would cut them.
        """
        there = {proxy.name for proxy in self.proxies()}
        for proxy in proxies:
            if proxy.name in there:
                continue
            with self._entered():
                toxiproxy.server.Toxiproxy().create(
                    proxy.upstream, proxy.name, proxy.listen, proxy.enabled
                )
            for toxic in proxy.toxics:
                self.add_toxic(proxy.name, toxic)

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        """One API call: the decoded answer, None where it has no content."""
        return _decoded(self._answer(method, path, body))

    def _answer(
        self, method: str, path: str, body: Mapping[str, object] | None
    ) -> requests.Response:
        url = self.address.url.rstrip("/") + path
        try:
            answer = self._session.request(
                method, url, json=body, timeout=self._timeout_s, allow_redirects=False
            )
        except requests.RequestException as error:
            raise ToxiproxySilent(
                f"Toxiproxy at {self.address.url} does not answer ({_reason(error)})",
                next_step="see that the server runs and that the target file has its address",
            ) from None
        if answer.ok and answer.status_code < 300:
            return answer
        kind = NotThere if answer.status_code == 404 else ToxiproxyError
        raise kind(
            f"Toxiproxy at {self.address.url} answered HTTP {answer.status_code} "
            f"to {method} {path}{_complaint(answer)}",
            next_step="see that its proxies are those the target file names",
        )

    @contextmanager
    def _entered(self) -> Iterator[None]:
        """Within this, what the client library calls goes to this server."""
        before = _entered_server.set(self)
        try:
            yield
        finally:
            _entered_server.reset(before)

    def _see_toxic(self, proxy: str, wanted: ToxicState) -> None:
        seen = self.proxy(proxy).toxic(wanted.name)
        if (
            seen is None
            or (seen.type, seen.stream) != (wanted.type, wanted.stream)
            or abs(seen.toxicity - wanted.toxicity) > 1e-6  # The server keeps a float32.
            or any(seen.attributes.get(key) != value for key, value in wanted.attributes.items())
        ):
            raise ToxiproxyError(
                f"proxy {proxy!r} does not have the toxic asked for: wanted {wanted}, found {seen}",
                next_step="see that the toxic's type and attributes are ones this server knows",
            )


_entered_server: ContextVar[ToxiproxyServer | None] = ContextVar("server", default=None)


class _Consumer(APIConsumer):  # type: ignore[misc]  # the library is untyped
    """What the library's classes call: the entered server, or the library's own consumer."""

    @classmethod
    def get(cls, url: str, params: Mapping[str, str] | None = None, **options: Any) -> Any:
        if server := _entered_server.get():
            return server._answer("GET", url, None)
        return APIConsumer.get(url, params=params, **options)

    @classmethod
    def post(cls, url: str, data: Any = None, json: Any = None, **options: Any) -> Any:
        if server := _entered_server.get():
            return server._answer("POST", url, json)
        return APIConsumer.post(url, data=data, json=json, **options)

    @classmethod
    def delete(cls, url: str, **options: Any) -> Any:
        if server := _entered_server.get():
            return server._answer("DELETE", url, None)
        return APIConsumer.delete(url, **options)


toxiproxy.proxy.APIConsumer = _Consumer
toxiproxy.server.APIConsumer = _Consumer


def _token(variable: str) -> str:
    if variable not in os.environ:
        raise ToxiproxyError(
            f"the environment variable {variable} is not set",
            next_step="set it to the token of the Toxiproxy API",
        )
    return os.environ[variable]


def _handle(proxy: str) -> Any:
    """The library's object for a proxy; all it needs of it for a change is the name."""
    return toxiproxy.proxy.Proxy(
        name=quote(proxy, safe=""), upstream=None, enabled=None, listen=None
    )


def _proxy(document: Mapping[str, Any]) -> ProxyState:
    try:
        return ProxyState(
            name=document["name"],
            listen=document["listen"],
            upstream=document["upstream"],
            enabled=document["enabled"],
            toxics=tuple(
                ToxicState(
                    name=toxic["name"],
                    type=toxic["type"],
                    stream=toxic["stream"],
                    toxicity=toxic["toxicity"],
                    attributes=toxic["attributes"],
                )
                for toxic in document["toxics"]
            ),
        )
    except (KeyError, TypeError):
        raise ToxiproxyError(
            f"this is not what Toxiproxy says of a proxy: {str(document)[:100]}",
            next_step="see that the target file's toxiproxy.url is a Toxiproxy API",
        ) from None


def _decoded(answer: requests.Response) -> Any:
    if not answer.content:
        return None
    try:
        return answer.json()
    except requests.JSONDecodeError:
        raise ToxiproxyError(
            f"{answer.url} answered something that is not JSON",
            next_step="see that the target file's toxiproxy.url is a Toxiproxy API",
        ) from None


def _complaint(answer: requests.Response) -> str:
    """What the server says is wrong, where it says it in its own form."""
    try:
        said = cast("Mapping[str, Any]", answer.json())["error"]
    except (requests.JSONDecodeError, KeyError, TypeError):
        return ""
    return f" ({said})"


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if "refused" in str(error).lower():
        return "connection refused"
    return type(error).__name__
