"""Real servers that behave as a test tells them, and an engine run against them."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from perfchaos.recording import Recorder, Recording, Window
from perfchaos.workload.arrivals import Arrivals
from perfchaos.workload.engine import Engine
from perfchaos.workload.plan import ClosedLoop, Plan, RequestTemplate
from perfchaos.workload.rendering import renderer
from perfchaos.workload.tally import Tally

Behaviour = Callable[[socket.socket], None]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """A TCP server whose every connection is handled by one function, in a thread each."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.connection_count = 0
        self._behaviour = behaviour
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connection_count += 1
                self._open.add(connection)
                thread = threading.Thread(target=self._handle, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _handle(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self._behaviour(connection)
        self._open.discard(connection)


def read_request(connection: socket.socket) -> bytes:
    """One whole request; OSError when the client is gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += _some(connection)
    return head + b"\r\n\r\n" + body


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError
    return data


def replying(*pieces: bytes, then_close: bool = False) -> Behaviour:
    """Every request is answered with these pieces, each sent by itself."""

    def behave(connection: socket.socket) -> None:
        while True:
            read_request(connection)
            for piece in pieces:
                connection.sendall(piece)
            if then_close:
                return

    return behave


def resetting(connection: socket.socket) -> None:
    """Reads a request and answers with a TCP reset."""
    read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.fixture
def serve() -> Iterator[Callable[[Behaviour], Server]]:
    with contextlib.ExitStack() as servers:

        def start(behaviour: Behaviour) -> Server:
            server = Server(behaviour)
            servers.callback(server.close)
            return server

        yield start


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


class Driven:
    """What an engine run left: its report and its samples."""

    def __init__(self, tally: Tally, recording: Recording) -> None:
        self.tally, self.recording = tally, recording
        self.window: Window = recording.whole()
        self.classes = self.window.by_class()


Drive = Callable[..., Driven]


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    """
    Runs a plan in this process and checks the balance that always holds.

    By default 20 requests of the open model within 50 ms; the plan began `late_s` ago.
    """

    def run(
        request: RequestTemplate, *, key: bytes = b"", late_s: float = 0.0, **changes: object
    ) -> Driven:
        load: Arrivals | ClosedLoop = Arrivals.constant(400.0, duration_s=0.05)
        fields: dict[str, object] = {"load": load, "seed": 7} | changes
        plan = Plan(request=request, **fields)  # type: ignore[arg-type]
        assert plan.mistakes() == []
        path = tmp_path / f"{time.monotonic_ns()}.samples"

        async def body() -> Tally:
            engine = Engine(
                plan, renderer(request, seed=plan.seed, key=key, keep_alive=plan.keep_alive)
            )
            epoch_ns = time.monotonic_ns() - int(late_s * 1e9)
            with Recorder(path, epoch_ns=epoch_ns) as recorder:
                return await engine.run(recorder, epoch_ns=epoch_ns)

        driven = Driven(uvloop.run(body()), Recording.open(path))
        assert_balanced(driven)
        return driven

    return run


def assert_balanced(driven: Driven) -> None:
    """planned = acked + refused + indeterminate + dropped, in the report and in the recording."""
    tally, window = driven.tally, driven.window
    assert tally.in_flight_count == 0
    counts = (
        tally.acked_count,
        tally.refused_count,
        tally.indeterminate_count,
        tally.dropped_count,
    )
    assert tally.planned_count == sum(counts) == driven.recording.planned_count
    assert counts == (
        window.acked_count,
        window.refused_count,
        window.indeterminate_count,
        window.dropped_count,
    )
    numbers = driven.recording.samples()["n"].tolist()
    assert sorted(numbers) == list(range(tally.planned_count))
