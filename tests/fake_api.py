"""A Toxiproxy API with planted faults, and what it was asked."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

type Answer = tuple[int, str]

PROXY = {
    "name": "redis",
    "listen": "127.0.0.1:1",
    "upstream": "127.0.0.1:2",
    "enabled": True,
    "toxics": [],
}


class FakeApi:
    """`answer(method, path)` gives status and body; `asked` and `headers` are what came in."""

    def __init__(self, answer: Callable[[str, str], Answer], host: str) -> None:
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                self.rfile.read(length)
                api.asked.append(f"{self.command} {self.path}")
                api.headers.append(dict(self.headers))
                status, body = answer(self.command, self.path)
                self.send_response(status)
                if status in (301, 302, 307):
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            do_GET = do_POST = do_DELETE = do_PATCH = _serve  # noqa: N815 - as http.server calls it

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            daemon_threads = True

        self._server = Server((host, 0), Handler)
        bracketed = f"[{host}]" if ":" in host else host
        self.url = f"http://{bracketed}:{self._server.server_port}"

    def serve(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def fake_api(
    answer: Callable[[str, str], Answer] | Answer, *, host: str = "127.0.0.1"
) -> Iterator[FakeApi]:
    """One that answers everything the same way, or as the function says."""
    api = FakeApi(answer if callable(answer) else lambda *_: answer, host)
    api.serve()
    try:
        yield api
    finally:
        api.close()


def believable(method: str, path: str) -> Answer:
    """A healthy API that takes every change and does none of it."""
    del method
    return 200, json.dumps({"redis": PROXY} if path == "/proxies" else PROXY)
