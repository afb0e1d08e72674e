"""
Where the stack's servers listen, all on 127.0.0.1.

The defaults lie below 32768, where the ephemeral range begins: any port above may be held for a
moment by an outgoing connection of any program.
"""

import errno
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from perfchaos.errors import InvalidInput, PerfchaosError
from perfchaos.sockets import holder_of

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """
    One port for each listener.

    `redis_proxy` and `postgres_proxy` are Toxiproxy's, where the service connects; `toxiproxy` is
    its API.
    """

    service: int = 18080
    redis: int = 16379
    redis_proxy: int = 26379
    postgres: int = 15432
    postgres_proxy: int = 25432
    toxiproxy: int = 18474


class PortTaken(PerfchaosError):
    """Somebody else listens where a server of the stack should."""


def read_ports(environment: Mapping[str, str]) -> Ports:
    """
    The ports that `environment` asks for.

    `PERFCHAOS_REDIS_PORT` and its like set one port; `PERFCHAOS_PORT_OFFSET` is added to all that
    are not set. Raises InvalidInput with every mistake at once.
    """
    mistakes: list[str] = []

    def number(name: str, default: int) -> int:
        text = environment.get(name, "").strip() or str(default)
        if text.removeprefix("-").isdecimal():
            return int(text)
        mistakes.append(f"{name} is not a whole number")
        return default

    offset = number("PERFCHAOS_PORT_OFFSET", 0)
    chosen: dict[str, int] = {}
    for name, default in asdict(Ports()).items():
        port = number(_variable(name), default + offset)
        if not 1 <= port <= 65535:
            mistakes.append(f"{_variable(name)} would be {port}, which is not a port")
        if twin := next((other for other in chosen if chosen[other] == port), None):
            mistakes.append(f"{_variable(name)} and {_variable(twin)} would both be {port}")
        chosen[name] = port
    if mistakes:
        raise InvalidInput(
            "the configuration of the ports", mistakes, next_step="correct these variables"
        )
    return Ports(**chosen)


def require_free(ports: Ports, names: Iterable[str]) -> None:
    """
    Raise PortTaken unless something can listen on each of the named ports.

    The error lists all that are taken, what for, and by whom as far as this user may know.
    """
    problems = []
    for name in names:
        port: int = getattr(ports, name)
        if why := _why_not(port):
            problems.append(f"port {port} ({name.replace('_', ' ')}, {_variable(name)}) {why}")
    if problems:
        raise PortTaken(
            "; ".join(problems),
            next_step="end what holds it, or set the variable "
            "(or PERFCHAOS_PORT_OFFSET, for all) to another port",
        )


def _variable(name: str) -> str:
    return f"PERFCHAOS_{name.upper()}_PORT"


def _why_not(port: int) -> str | None:
    with socket.socket() as listener:
        # As servers do: connections of the past that linger in TIME_WAIT are no hindrance.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"is taken by {holder_of(port) or 'a process of another user'}"
            return f"cannot be listened on ({error.strerror})"
    return None
