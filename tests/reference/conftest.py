"""The servers of the stack, and the service and workers on them as each test wants them."""

import contextlib
import dataclasses
import hashlib
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from redis import Redis

from perfchaos import processes
from perfchaos.launches import read_environment_file
from perfchaos.reference.profiles import TUNED
from perfchaos.reference.schema import apply_schema
from perfchaos.reference.settings import read_settings
from perfchaos.stack import embedded
from perfchaos.stack.home import stack_dir
from perfchaos.stack.ports import HOST, Ports
from perfchaos.stack.postgres_server import DATABASE, USER
from perfchaos.stack.server import secrets_file
from tests.ports import free_ports


def until(condition: Callable[[], object], *, within_s: float = 30.0) -> None:
    """Return as soon as `condition` holds; fail if it does not within `within_s`."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {within_s} s"
        time.sleep(0.02)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A running order service."""

    port: int
    process: subprocess.Popen[bytes]
    http: httpx.Client
    secret: bytes
    log: Path

    def webhook(self, message_id: str | None = None) -> tuple[str, int]:
        """Send a message; its id and the status of the reply."""
        message_id = message_id or str(uuid.uuid4())
        body = {"message_id": message_id, "from": "+491701", "type": "text", "text": "order 1"}
        return message_id, self.signed(json.dumps(body).encode()).status_code

    def signed(self, body: bytes) -> httpx.Response:
        signature = hmac.new(self.secret, body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": f"sha256={signature}"}
        return self.http.post("/webhooks/whatsapp", content=body, headers=headers)

    def health(self) -> dict[str, str]:
        answer: dict[str, str] = self.http.get("/health").json()
        return answer

    def route(self, vendors: int) -> str:
        """A new order, routed to the vendors 1 … `vendors`."""
        order_id: str = self.http.post("/orders", json={"vendors": vendors}).json()["order_id"]
        return order_id

    def accept(self, order_id: str, vendor_id: int) -> httpx.Response:
        return self.http.post(f"/orders/{order_id}/accept", json={"vendor_id": vendor_id})

    def race(self, order_id: str, vendors: int) -> list[int]:
        """
        The statuses of the vendors 1 … `vendors`, who accept at the same moment: everybody's
        request is there but for its last byte, and the last bytes are sent in a row.
        """
        with contextlib.ExitStack() as stack:
            contenders = [
                stack.enter_context(socket.create_connection((HOST, self.port), timeout=10))
                for _ in range(vendors)
            ]
            for vendor_id, contender in enumerate(contenders, start=1):
                body = json.dumps({"vendor_id": vendor_id}).encode()
                contender.sendall(
                    b"POST /orders/%b/accept HTTP/1.1\r\nHost: service\r\nConnection: close\r\n"
                    b"Content-Length: %d\r\n\r\n%b" % (order_id.encode(), len(body), body[:-1])
                )
            for contender in contenders:
                contender.sendall(b"}")
            return [int(_read_all(contender)[9:12]) for contender in contenders]


def _read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(4096), b""))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Marketplace:
    """Redis and Postgres behind Toxiproxy, and what it takes to run the rest on them."""

    ports: Ports
    home: Path
    secrets: Mapping[str, str]
    logs: Path

    def environment(self, **tunings: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            **TUNED,
            "PGHOST": HOST,
            "PGPORT": str(self.ports.postgres_proxy),
            "PGDATABASE": DATABASE,
            "PGUSER": USER,
            "PGPASSWORD": self.secrets["POSTGRES_PASSWORD"],
            "REDIS_PORT": str(self.ports.redis_proxy),
            "REDIS_PASSWORD": self.secrets["REDIS_PASSWORD"],
            "WEBHOOK_SECRET": self.secrets["WEBHOOK_SECRET"],
            **tunings,
        }

    @contextlib.contextmanager
    def service(self, *, ready: bool = True, **tunings: str) -> Iterator[Service]:
        """A service of these tunings, on a schema that suits them; `ready` once it is healthy."""
        if ready:
            apply_schema(read_settings(self.environment(**tunings)))
        log = self.logs / f"service-{uuid.uuid4()}.log"
        [port] = free_ports(1)
        tunings["SERVICE_PORT"] = str(port)
        with (
            self._process("service", log, tunings) as process,
            httpx.Client(base_url=f"http://{HOST}:{port}") as http,
        ):
            service = Service(
                port=port,
                process=process,
                http=http,
                secret=self.secrets["WEBHOOK_SECRET"].encode(),
                log=log,
            )
            until(lambda: _answers(http, status=200 if ready else None))
            yield service

    @contextlib.contextmanager
    def worker(self, **tunings: str) -> Iterator[subprocess.Popen[bytes]]:
        log = self.logs / f"worker-{uuid.uuid4()}.log"
        with self._process("worker", log, tunings) as process:
            yield process

    @contextlib.contextmanager
    def _process(
        self, module: str, log: Path, tunings: Mapping[str, str]
    ) -> Iterator[subprocess.Popen[bytes]]:
        with (
            log.open("wb") as output,
            subprocess.Popen(
                [sys.executable, "-m", f"perfchaos.reference.{module}"],
                env=self.environment(**tunings),
                stderr=output,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Rows of a query, asked of Postgres directly and not by way of the proxy."""
        with psycopg.connect(
            host=HOST,
            port=self.ports.postgres,
            dbname=DATABASE,
            user=USER,
            password=self.secrets["POSTGRES_PASSWORD"],
            options="-c default_transaction_read_only=off",
        ) as connection:
            cursor = connection.execute(query.encode(), parameters)
            return cursor.fetchall() if cursor.description is not None else []

    def effects(self, message_ids: list[str]) -> dict[str, int]:
        """How often each of the messages took effect; those that did not are missing."""
        rows = self.rows(
            "SELECT message_id::text, count(*) FROM order_effects"
            " WHERE message_id = ANY(%s::uuid[]) GROUP BY 1",
            message_ids,
        )
        return dict(rows)

    def backlog(self) -> int:
        with Redis(port=self.ports.redis, password=self.secrets["REDIS_PASSWORD"]) as redis:
            length: int = redis.xlen("orders:queue")
            return length

    @contextlib.contextmanager
    def silent(self, proxy: str, stream: str) -> Iterator[None]:
        """Nothing comes through the proxy any more, in one direction."""
        toxic = {"name": "silence", "type": "timeout", "stream": stream, "attributes": {}}
        self._toxiproxy("POST", f"/proxies/{proxy}/toxics", toxic)
        try:
            yield
        finally:
            self._toxiproxy("DELETE", f"/proxies/{proxy}/toxics/silence")

    @contextlib.contextmanager
    def refusing(self, proxy: str) -> Iterator[None]:
        self._toxiproxy("POST", f"/proxies/{proxy}", {"enabled": False})
        try:
            yield
        finally:
            self._toxiproxy("POST", f"/proxies/{proxy}", {"enabled": True})

    @contextlib.contextmanager
    def killed(self, server: str, *, emptied: bool = False) -> Iterator[None]:
        """The server is killed, and started again at the end."""
        pid_file = self.home / f"{server}.pid"
        process = processes.running(pid_file)
        assert process is not None
        processes.kill(pid_file)
        # Postgres takes a dead predecessor that init has not buried yet for a living one.
        until(lambda: not _exists(process.pid))
        with self._starting_again(server, emptied=emptied):
            yield

    @contextlib.contextmanager
    def stopped(self, server: str) -> Iterator[None]:
        """The server is shut down gracefully (Postgres: fast), and started again at the end."""
        processes.stop(self.home / f"{server}.pid")
        with self._starting_again(server, emptied=False):
            yield

    @contextlib.contextmanager
    def _starting_again(self, server: str, *, emptied: bool) -> Iterator[None]:
        try:
            yield
        finally:
            processes.start_again(self.home / f"{server}.pid", emptied=emptied)
            until(lambda: all(standing.state == "running" for standing in self._dependencies()))

    def _dependencies(self) -> list[embedded.Standing]:
        return [server for server in embedded.look() if server.name in {"redis", "postgres"}]

    def _toxiproxy(self, method: str, path: str, content: object = None) -> None:
        url = f"http://{HOST}:{self.ports.toxiproxy}{path}"
        httpx.request(method, url, json=content).raise_for_status()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _answers(http: httpx.Client, *, status: int | None) -> bool:
    try:
        return http.get("/health").status_code in {status or 200, status or 503}
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def marketplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Marketplace]:
    """The stack's servers, without the service and the worker that come with them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERFCHAOS_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        names = [field.name for field in dataclasses.fields(Ports)]
        ports = Ports(**dict(zip(names, free_ports(len(names)), strict=True)))
        try:
            embedded.up(ports=ports, profile=None, tell=lambda _: None)
            home = stack_dir()
            for name in ("worker", "service"):
                processes.stop(home / f"{name}.pid")
            yield Marketplace(
                ports=ports,
                home=home,
                secrets=read_environment_file(secrets_file(home)),
                logs=tmp_path_factory.mktemp("logs"),
            )
        finally:
            embedded.down(keep_data=False, tell=lambda _: None)


@pytest.fixture(scope="module")
def tuned(marketplace: Marketplace) -> Iterator[Service]:
    """A tuned service and its worker, for tests that leave them well."""
    with marketplace.service() as service, marketplace.worker():
        yield service


def end(process: subprocess.Popen[bytes]) -> int:
    """
    Ask the process to leave; its exit code.

    It gets less time than psycopg would take to cancel a query that a silent server holds.
    """
    process.send_signal(signal.SIGTERM)
    return process.wait(timeout=4)
