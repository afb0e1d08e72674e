"""The engine against nginx, where it is installed."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from perfchaos.workload.arrivals import Arrivals
from perfchaos.workload.plan import ClosedLoop, RequestTemplate
from tests.workload.conftest import Drive

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")

pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx")

CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off; keepalive_requests 20; keepalive_timeout 1s;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder}; client_max_body_size 1k;
  server {{
    listen 127.0.0.1:{port};
    location / {{ return 200 '{{"ok": true}}'; }}
    location /moved {{ return 301 /; }}
    location /file {{ root {folder}; error_page 405 =200 $uri; chunked_transfer_encoding on; }}
    location /proxied {{ proxy_pass http://127.0.0.1:1/; }}
  }}
}}
"""


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("nginx")
    folder.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "file").write_text("x" * 100_000)
    (folder / "nginx.conf").write_text(CONFIGURATION.format(folder=folder, port=port))
    assert NGINX is not None
    process = subprocess.Popen(
        [NGINX, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")],
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_listening(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _await_listening(port: int) -> None:
    deadline_s = time.monotonic() + 20
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.mark.parametrize("load", [Arrivals.constant(2000.0), ClosedLoop(in_flight_count=8)])
def test_its_limit_of_requests_on_a_connection_costs_none(
    nginx: str, drive: Drive, load: Arrivals | ClosedLoop
) -> None:
    request = RequestTemplate(url=f"{nginx}/", body="{uuid}", timeout_s=5)
    driven = drive(request, load=load, duration_s=0.3, connections_max=8)
    assert set(driven.classes) == {"HTTP 200"}
    assert driven.tally.acked_count > 100


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        ("/file", "GET", "HTTP 200"),
        ("/file", "HEAD", "HTTP 200"),
        ("/moved", "GET", "HTTP 301"),
        ("/proxied", "GET", "HTTP 502"),
        ("/missing/", "DELETE", "HTTP 200"),
    ],
)
def test_its_replies_are_understood(
    nginx: str, drive: Drive, path: str, method: str, expected: str
) -> None:
    driven = drive(RequestTemplate(method=method, url=nginx + path, timeout_s=5))
    assert driven.classes == {expected: 20}


def test_a_body_beyond_its_limit_is_answered_before_it_is_read(nginx: str, drive: Drive) -> None:
    driven = drive(RequestTemplate(url=f"{nginx}/file", body="x" * 3_000_000, timeout_s=5))
    assert set(driven.classes) <= {"HTTP 413", "reset"}
