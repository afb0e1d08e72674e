"""TLS against a real server: a trusted certificate, and every kind of a bad one."""

import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from perfchaos.workload.plan import ClosedLoop, RequestTemplate
from tests.workload.conftest import OK, Behaviour, Drive, Server, read_request, replying

Serve = Callable[[Behaviour], Server]

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=shop.example", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture
def serve_tls(serve: Serve, certificate: Path) -> Callable[[Behaviour], Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")

    def start(behaviour: Behaviour) -> Server:
        def behave(connection: socket.socket) -> None:
            with context.wrap_socket(connection, server_side=True) as wrapped:
                behaviour(wrapped)

        return serve(behave)

    return start


def https(server: Server, host: str = "127.0.0.1") -> RequestTemplate:
    return RequestTemplate(url=f"https://{host}:{server.port}/", body="{uuid}", timeout_s=3)


def test_a_trusted_certificate_is_accepted(
    serve_tls: Serve, drive: Drive, certificate: Path
) -> None:
    server = serve_tls(replying(OK))
    driven = drive(
        https(server),
        tls_ca_file=str(certificate / "cert.pem"),
        load=ClosedLoop(in_flight_count=1),
        duration_s=0.5,
    )
    assert driven.tally.acked_count == driven.tally.planned_count > 1
    assert server.connection_count == 1


def test_large_requests_and_replies_pass_through_tls(
    serve_tls: Serve, drive: Drive, certificate: Path
) -> None:
    lengths: list[int] = []

    def behave(connection: socket.socket) -> None:
        while True:
            lengths.append(len(read_request(connection).partition(b"\r\n\r\n")[2]))
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + b"x" * 500_000
            )

    server = serve_tls(behave)
    request = RequestTemplate(url=https(server).url, body="y" * 300_000, timeout_s=5)
    driven = drive(request, tls_ca_file=str(certificate / "cert.pem"), connections_max=2)
    assert driven.classes == {"HTTP 200": 20}
    assert lengths == [300_000] * 20


def test_an_unknown_authority_is_refused_and_nothing_is_sent(
    serve_tls: Serve, drive: Drive
) -> None:
    received: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        received.append(read_request(connection))

    driven = drive(https(serve_tls(behave)))
    assert driven.classes == {"tls": 20}
    assert driven.tally.refused_count == 20
    assert received == []


def test_a_certificate_for_another_name_is_refused(
    serve_tls: Serve, drive: Drive, certificate: Path
) -> None:
    server = serve_tls(replying(OK))
    driven = drive(https(server, "localhost"), tls_ca_file=str(certificate / "cert.pem"))
    assert driven.classes == {"tls": 20}


def test_without_verification_any_certificate_is_accepted(serve_tls: Serve, drive: Drive) -> None:
    driven = drive(https(serve_tls(replying(OK))), tls_verify=False)
    assert driven.classes == {"HTTP 200": 20}


def test_a_server_that_speaks_no_tls_is_refused(serve: Serve, drive: Drive) -> None:
    driven = drive(https(serve(lambda connection: connection.sendall(b"220 hello\r\n"))))
    assert driven.tally.refused_count == 20
    assert set(driven.classes) <= {"tls", "closed unused"}


def test_a_server_that_never_shakes_hands_times_out(serve: Serve, drive: Drive) -> None:
    def behave(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    request = RequestTemplate(url=https(serve(behave)).url, timeout_s=0.2)
    driven = drive(request)
    assert driven.tally.acked_count == driven.tally.indeterminate_count == 0
    assert set(driven.classes) <= {"connect timeout", "too late", "not sent before stop"}
