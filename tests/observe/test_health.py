"""What a look at a health endpoint finds."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from perfchaos.observe.health import HealthLook, HealthState
from perfchaos.observe.sampler import Reading

UNWELL = b'{"status": "unavailable", "sqlstate": "57P03", "inner": {"SQLSTATE" : "08006"}}'


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A service that is well at /well and unwell elsewhere."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            well = self.path == "/well"
            body = b'{"status": "ok"}' if well else UNWELL
            self.send_response(200 if well else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "state"),
    [
        ("well", HealthState(status=200, healthy=True, sqlstates="")),
        ("ill", HealthState(status=503, healthy=False, sqlstates="57P03,08006")),
    ],
)
def test_answer_tells_status_and_sqlstates(port: int, path: str, state: HealthState) -> None:
    with HealthLook(f"http://127.0.0.1:{port}/{path}") as look:
        facts = look()
    assert HealthState.of(Reading(at_ns=1, values=facts, failed=None)) == state


def test_no_answer_is_not_healthy() -> None:
    with HealthLook("http://127.0.0.1:1/") as look:
        facts = look()
    assert facts == {"status": None, "healthy": False, "sqlstates": ""}
