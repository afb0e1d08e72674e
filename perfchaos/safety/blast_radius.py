"""
What may be harmed. Pure: what the target file allows against what a fault reaches.

Whatever is not named in the target file's blast radius is refused, and so is a host that looks
like production, named or not. Every address that is contacted counts, whether it comes from a field
of the target file or from a variable of the environment.
"""

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from perfchaos.errors import InvalidInput
from perfchaos.faults.fault import Reach

if TYPE_CHECKING:
    from perfchaos.target import BlastRadius, Target

# `db-prod-1`, `proddb`, `euprod1`, `live.example.com`; but not `products`, `reproduction`, `alive`,
# nor what says that it is not production (`nonprod`, `preprod`).
_PRODUCTION = re.compile(
    r"(?<!non)(?<!pre)(?<!re)prod(?:uction|(?!uc|uk|ig))|^prd|prd\d*$|^live(?:\d*|db|sql|redis)$",
    re.IGNORECASE,
)
# libpq's variables that lead a session elsewhere than to the host it is given.
_REDIRECTING = ("PGHOSTADDR", "PGSERVICE")
_LOCAL_ENGINES = ("unix", "npipe")


def refusals(radius: "BlastRadius", reach: Reach, *, at_most_s: float) -> list[str]:
    """Why a fault that reaches this far, for this long, must not be injected; empty if it may."""
    found = [
        f"proxy {proxy!r} is not in blast_radius.proxies"
        for proxy in reach.proxies
        if proxy not in radius.proxies
    ]
    found += [
        f"service {service!r} is not in blast_radius.services"
        for service in reach.services
        if service not in radius.services
    ]
    for container in reach.containers:
        labels = [known.label for known in radius.containers if known.name == container.name]
        if not labels:
            found.append(f"container {container.name!r} is not in blast_radius.containers")
        elif not set(labels) & set(container.labels):
            found.append(f"container {container.name!r} has no label {' or '.join(labels)}")
    for host in reach.hosts:
        found += _host_refusals(radius, host)
    if not at_most_s > 0:
        found.append(f"a fault of {at_most_s:g} s is none")
    if at_most_s > radius.longest_fault_s:
        found.append(
            f"up to {at_most_s:g} s is longer than blast_radius.longest_fault_s "
            f"({radius.longest_fault_s:g} s)"
        )
    return found


def target_refusals(target: "Target", environment: Mapping[str, str] = os.environ) -> list[str]:
    """Why this target must not even be loaded: addresses it leads to that it does not allow."""
    found = [
        f"{where}: {refusal}"
        for where, host in (*_hosts(target), *_engines(target, environment))
        for refusal in _host_refusals(target.blast_radius, host)
    ]
    if target.postgres is not None:
        found += [
            f"{name}: it would lead every session elsewhere than to postgres.host (unset it)"
            for name in _REDIRECTING
            if environment.get(name)
        ]
    return found


def require_allowed(radius: "BlastRadius", reach: Reach, *, at_most_s: float, what: str) -> None:
    """Raises InvalidInput that lists every refusal of the fault called `what`."""
    if refused := refusals(radius, reach, at_most_s=at_most_s):
        raise InvalidInput(
            f"{what} outside the blast radius",
            refused,
            next_step="allow it in the target file, or leave it alone",
        )


def looks_like_production(host: str) -> bool:
    """Whether a word of the host name says production."""
    return any(_PRODUCTION.search(word) for word in re.split(r"[^A-Za-z0-9]+", host))


def allowed(addresses: tuple[str, ...], host: str) -> bool:
    """
    Whether a host is on the list of names, addresses and networks.

    Nothing is resolved: a name is allowed by that name. `localhost` is a loopback address.
    """
    host = host.strip("[]").lower()
    if host in (address.lower() for address in addresses):
        return True
    candidates = ("127.0.0.1", "::1") if host == "localhost" else (host,)
    return any(
        _within(candidate, network) for candidate in candidates for network in _networks(addresses)
    )


def _host_refusals(radius: "BlastRadius", host: str) -> list[str]:
    found = []
    if looks_like_production(host):
        found.append(f"host {host!r} looks like production")
    if not allowed(radius.addresses, host):
        found.append(f"host {host!r} is not in blast_radius.addresses")
    return found


def _hosts(target: "Target") -> Iterator[tuple[str, str]]:
    yield "webhook.url", urlsplit(target.webhook.url).hostname or ""
    if target.health_url is not None:
        yield "health.url", urlsplit(target.health_url).hostname or ""
    if target.race is not None:
        for request in target.race.requests():
            yield "race", urlsplit(request.url).hostname or ""
    for name, dependency in (("redis", target.redis), ("postgres", target.postgres)):
        if dependency is None:
            continue
        yield f"{name}.host", dependency.host
        if dependency.upstream is not None:
            yield f"{name}.upstream", dependency.upstream.rpartition(":")[0]
    if target.toxiproxy is not None:
        yield "toxiproxy.url", urlsplit(target.toxiproxy.url).hostname or ""


def _engines(target: "Target", environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The container engine, where one is asked and it is not this machine's own."""
    sections = (target.redis, target.postgres, target.toxiproxy)
    handles = [section.control for section in sections if section is not None]
    by_engine = any(handle is not None and handle.kind != "process" for handle in handles)
    address = environment.get("DOCKER_HOST", "")
    if not address or not (by_engine or target.blast_radius.containers):
        return
    scheme, separator, _ = address.partition("://")
    if separator and scheme in _LOCAL_ENGINES:
        return
    yield "DOCKER_HOST", urlsplit(address if separator else f"tcp://{address}").hostname or address


def _networks(
    addresses: tuple[str, ...],
) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    for address in addresses:
        try:
            yield ipaddress.ip_network(address, strict=False)
        except ValueError:
            continue  # A host name.


def _within(host: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    try:
        return ipaddress.ip_address(host) in network
    except ValueError:
        return False
