"""
Ports for the tests' own servers, never the same for two runs of the tests on this machine.

Each process that tests takes ports by the block. A block belongs to whoever has bound the UDP port
of its first number: no test uses UDP, any user may bind it, and it is let go by the system however
the process ends. One that was given out comes again only after all others of the process.

They lie below the ephemeral range: from there a client of anybody could take one between our look
at it and its use.
"""

import contextlib
import random
import socket
from collections.abc import Iterator

HOST = "127.0.0.1"
_FIRST, _COUNT, _BLOCK = 20_000, 5_000, 50

_reserved: list[socket.socket] = []  # Held as long as this process lives.


def free_ports(count: int) -> list[int]:
    """So many ports that nobody listens on."""
    return [next(_free) for _ in range(count)]


def _ports() -> Iterator[int]:
    ours: list[int] = []
    blocks = list(range(_FIRST, _FIRST + _COUNT, _BLOCK))
    random.shuffle(blocks)
    for block in blocks:
        if _reserve(block):
            ours.append(block)
            yield from _unheld(block)
    while ours:
        given = 0
        for block in ours:
            for port in _unheld(block):
                given += 1
                yield port
        if not given:
            break
    raise RuntimeError(f"all ports of {_FIRST} to {_FIRST + _COUNT - 1} are taken")


def _reserve(block: int) -> bool:
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        holder.bind((HOST, block))
    except OSError:
        holder.close()
        return False
    _reserved.append(holder)
    return True


def _unheld(block: int) -> Iterator[int]:
    for port in range(block, block + _BLOCK):
        with contextlib.suppress(OSError):
            socket.create_server((HOST, port)).close()
            yield port


_free = _ports()
