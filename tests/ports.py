"""
Ports for the tests' own servers; one that was given out comes again only after all others.

They lie below the ephemeral range: from there a client of anybody could take one between our look
at it and its use. Each of the processes that share the tests has a part of its own.
"""

import contextlib
import itertools
import os
import random
import socket
from collections.abc import Iterator

HOST = "127.0.0.1"
_FIRST, _COUNT, _PARTS = 20_000, 5_000, 8


def free_ports(count: int) -> list[int]:
    """So many ports that nobody listens on."""
    return [next(_free) for _ in range(count)]


def _ports() -> Iterator[int]:
    size = _COUNT // _PARTS
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    first = _FIRST + int(worker) % _PARTS * size
    # Another run of the tests on this machine begins elsewhere.
    for step in itertools.count(random.randrange(size)):
        port = first + step % size
        with contextlib.suppress(OSError):
            socket.create_server((HOST, port)).close()
            yield port


_free = _ports()
