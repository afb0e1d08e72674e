"""Toxics of ours that no lease here speaks of: left by a run whose state directory is elsewhere."""

from perfchaos.faults.fault import OUR_TOXICS, toxic_prefix
from perfchaos.faults.toxiproxy_client import ToxiproxyAddress, ToxiproxyServer
from perfchaos.safety.lease import lease_files


def remove_strays(address: ToxiproxyAddress) -> tuple[str, ...]:
    """
    Remove every toxic of ours on a server but those of runs that have a lease file here.

    A state directory that was wiped, or another machine's, leaves toxics that no lease here heals.
    The names of what was removed, each with its proxy.

    Raises:
        ToxiproxyError: the server does not answer, or keeps them.

    """
    with ToxiproxyServer(address) as server:
        # The proxies first: a run that begins after this has its lease file before its toxic.
        proxies = server.proxies()
        leased = tuple(toxic_prefix(leases.path.stem) for leases in lease_files())
        removed = []
        for proxy in proxies:
            for toxic in proxy.toxics:
                if toxic.name.startswith(OUR_TOXICS) and not toxic.name.startswith(leased):
                    server.remove_toxic(proxy.name, toxic.name)
                    removed.append(f"toxic {toxic.name!r} on proxy {proxy.name!r}")
    return tuple(removed)
