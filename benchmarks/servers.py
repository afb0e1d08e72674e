"""Other people's servers, as they are run by default, each with a view that takes 4 ms."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measuring import SERVER_CORE, pinned
from benchmarks.tools import SCRIPTS, Tools
from perfchaos.errors import PerfchaosError

DIRECT = (
    "gunicorn sync",
    "gunicorn gthread",
    "uvicorn",
    "a thread per connection",
    "one connection at a time",
)
BEHIND_NGINX = tuple(f"nginx, {name}" for name in DIRECT)
ALL = (*DIRECT, *BEHIND_NGINX)

_START_S = 20.0
_NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{behind}; }} }}
}}
"""


@contextmanager
def serving(tools: Tools, name: str) -> Iterator[str]:
    """The URL of a server of that name, on the server's core, until the block ends."""
    direct = name.removeprefix("nginx, ")
    port = _free_port()
    with _running(_command(tools, direct, port), port):
        if direct == name:
            yield f"http://127.0.0.1:{port}/"
            return
        with tempfile.TemporaryDirectory() as folder:
            with _nginx(tools.programs["nginx"], Path(folder), port) as front:
                yield f"http://127.0.0.1:{front}/"


def _command(tools: Tools, name: str, port: int) -> list[str]:
    python = str(tools.programs["python"])
    at = ["--bind", f"127.0.0.1:{port}", "--chdir", str(SCRIPTS), "view_wsgi:application"]
    if name == "gunicorn sync":
        return [python, "-m", "gunicorn", "--workers", "3", *at]
    if name == "gunicorn gthread":
        threads = ["--worker-class", "gthread", "--workers", "1", "--threads", "4"]
        return [python, "-m", "gunicorn", *threads, *at]
    if name == "uvicorn":
        where = ["--app-dir", str(SCRIPTS), "--port", str(port), "--no-access-log"]
        return [python, "-m", "uvicorn", *where, "view_asgi:application"]
    kind = {"a thread per connection": "threads", "one connection at a time": "one"}[name]
    return [python, str(SCRIPTS / "plain_server.py"), kind, str(port)]


@contextmanager
def _nginx(program: Path, folder: Path, behind: int) -> Iterator[int]:
    port, configuration = _free_port(), folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    configuration.write_text(_NGINX.format(folder=folder, port=port, behind=behind, user=user))
    command = [str(program), "-c", str(configuration), "-e", str(folder / "error.log")]
    with _running(command, port):
        yield port


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    """The command in a process group of its own, which is ended as a whole."""
    process = subprocess.Popen(
        pinned(SERVER_CORE, command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _await_listening(process, port)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await_listening(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline_s = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline_s:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                # An answer, so that a server whose workers are not up yet is waited for.
                connection.settimeout(_START_S)
                connection.sendall(b"POST / HTTP/1.0\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
                if connection.recv(100):
                    return
        except OSError:
            time.sleep(0.05)
    raise PerfchaosError(
        f"{process.args!r} did not answer",
        next_step="run the command by hand and read what it says",
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port
