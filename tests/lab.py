"""A laboratory: a real Redis behind a real Toxiproxy, both started as any server is."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from perfchaos import processes
from perfchaos.faults import Controlled, Proxied, Route, ToxiproxyAddress, ToxiproxyServer
from perfchaos.faults.toxiproxy_client import ToxiproxyError
from perfchaos.launches import Launch
from perfchaos.stack.redis_server import find_redis
from perfchaos.stack.toxiproxy_program import find_toxiproxy
from perfchaos.target import BlastRadius
from tests.ports import free_ports

HOST = "127.0.0.1"

BLAST_RADIUS = BlastRadius(
    proxies=frozenset({"redis"}),
    services=frozenset({"redis", "toxiproxy"}),
    containers=(),
    addresses=(HOST,),
    longest_fault_s=60,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """The proxy's name is `redis`, and so is the dependency's."""

    folder: Path
    redis_port: int
    proxy_port: int
    api_port: int

    @property
    def redis_pid_file(self) -> Path:
        return self.folder / "redis.pid"

    @property
    def toxiproxy_pid_file(self) -> Path:
        return self.folder / "toxiproxy.pid"

    @property
    def address(self) -> ToxiproxyAddress:
        return ToxiproxyAddress(
            url=f"http://{HOST}:{self.api_port}", control=f"process:{self.toxiproxy_pid_file}"
        )

    @property
    def proxied(self) -> Proxied:
        return Proxied(
            dependency="redis",
            proxy="redis",
            toxiproxy=self.address,
            route=Route(protocol="redis", host=HOST, port=self.proxy_port),
        )

    @property
    def controlled(self) -> Controlled:
        return Controlled(
            dependency="redis",
            pid_file=str(self.redis_pid_file),
            route=Route(protocol="redis", host=HOST, port=self.redis_port),
        )

    def server(self) -> ToxiproxyServer:
        return ToxiproxyServer(self.address)

    def harmed(self) -> list[str]:
        """What is wrong in the laboratory; nothing if every fault was healed."""
        redis = processes.running(self.redis_pid_file)
        if redis is None or redis.paused():
            return ["redis does not run"]
        with self.server() as server:
            proxy = server.proxy("redis")
        return [toxic.name for toxic in proxy.toxics] + ([] if proxy.enabled else ["disabled"])

    def make_whole(self) -> None:
        """As it was at first, whatever a test did to it."""
        processes.start_again(self.redis_pid_file)
        if process := processes.running(self.toxiproxy_pid_file):
            if process.paused():
                processes.resume(self.toxiproxy_pid_file)
        else:
            processes.start_again(self.toxiproxy_pid_file)
        processes.resume(self.redis_pid_file)
        _until_it_answers(lambda: socket.create_connection((HOST, self.redis_port)).close())
        with self.server() as server:
            _until_it_answers(server.proxies)
            if "redis" not in {proxy.name for proxy in server.proxies()}:
                self._populate(server)
            for toxic in server.proxy("redis").toxics:
                server.remove_toxic("redis", toxic.name)
            server.set_enabled("redis", enabled=True)

    def _populate(self, server: ToxiproxyServer) -> None:
        server.call(
            "POST",
            "/proxies",
            {
                "name": "redis",
                "listen": f"{HOST}:{self.proxy_port}",
                "upstream": f"{HOST}:{self.redis_port}",
                "enabled": True,
            },
        )


@contextmanager
def open_lab(folder: Path) -> Iterator[Lab]:
    """A laboratory in a folder of its own, gone at the end."""
    redis_port, proxy_port, api_port = free_ports(3)
    lab = Lab(folder=folder, redis_port=redis_port, proxy_port=proxy_port, api_port=api_port)
    data = folder / "redis"
    data.mkdir()
    redis = (find_redis(), "--port", str(redis_port), "--bind", HOST, "--save", "")
    toxiproxy = (str(find_toxiproxy(print)), "-host", HOST, "-port", str(api_port))
    try:
        _start(lab.redis_pid_file, (*redis, "--dir", str(data)), data_dir=str(data))
        _start(lab.toxiproxy_pid_file, toxiproxy, data_dir=None)
        lab.make_whole()
        yield lab
    finally:
        for pid_file in (lab.redis_pid_file, lab.toxiproxy_pid_file):
            processes.kill(pid_file)


def _start(pid_file: Path, argv: tuple[str, ...], *, data_dir: str | None) -> None:
    launch = Launch(
        argv=argv,
        cwd=str(pid_file.parent),
        log=str(pid_file.with_suffix(".log")),
        data_dir=data_dir,
    )
    processes.start(launch, pid_file)


def _until_it_answers(ask: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s:
        with suppress(ToxiproxyError, ConnectionError):
            ask()
            return
        time.sleep(0.02)
    raise AssertionError("a server of the laboratory does not answer")
