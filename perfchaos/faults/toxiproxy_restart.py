"""
The last resort for a Toxiproxy server that hangs or is gone: start it anew, with what it held.

Up to 2.12 its API can hang for good once a toxic is changed while clients abort connections; only
a restart brings it back. A restart loses all proxies and toxics, so they are put back.
"""

import time
from contextlib import suppress
from pathlib import Path

from perfchaos import processes
from perfchaos.faults.toxiproxy_client import (
    ProxyState,
    ToxiproxyAddress,
    ToxiproxyError,
    ToxiproxyServer,
    ToxiproxySilent,
)
from perfchaos.launches import launch_file, learn_launch

_STARTED_WITHIN_S = 5.0


def revive(address: ToxiproxyAddress, proxies: tuple[ProxyState, ...]) -> None:
    """
    Restart the server at `address` if it does not answer, and see that it holds `proxies`.

    Raises:
        PerfchaosError: it may not be restarted from here, or does not come back.

    """
    with ToxiproxyServer(address) as server:
        try:
            server.restore(proxies)
        except ToxiproxySilent:
            _restart(address)
            server.restore(proxies)


def _restart(address: ToxiproxyAddress) -> None:
    kind, _, name = (address.control or "").partition(":")
    if kind != "process":
        raise ToxiproxySilent(
            f"Toxiproxy at {address.url} hangs or is down, and perfchaos may not restart it",
            next_step="restart it and its proxies yourself, then run 'perfchaos heal'; to allow it "
            "from now on, give the target file toxiproxy.control and toxiproxy in "
            "blast_radius.services",
        )
    pid_file = Path(name)
    process = processes.running(pid_file)
    if process is not None and not launch_file(pid_file).exists():
        learn_launch(pid_file, process.pid)
    processes.kill(pid_file)
    processes.start_again(pid_file)
    deadline_s = time.monotonic() + _STARTED_WITHIN_S
    with ToxiproxyServer(address) as server:
        while time.monotonic() < deadline_s:
            with suppress(ToxiproxyError):
                server.proxies()
                return
            time.sleep(0.02)
    raise ToxiproxySilent(
        f"Toxiproxy at {address.url} was restarted and does not answer",
        next_step=f"read the log of {pid_file.stem}, start it yourself, then run 'perfchaos heal'",
    )
