import os
import socket
from dataclasses import asdict

import pytest

from perfchaos.errors import InvalidInput
from perfchaos.stack.ports import HOST, Ports, PortTaken, read_ports, require_free


def test_the_defaults_lie_below_the_ephemeral_range() -> None:
    assert read_ports({}) == Ports()
    assert max(asdict(Ports()).values()) < 32768


def test_a_variable_moves_its_port_alone() -> None:
    assert read_ports({"PERFCHAOS_REDIS_PROXY_PORT": "7000"}) == Ports(redis_proxy=7000)


def test_the_offset_moves_all_ports_that_are_not_set() -> None:
    moved = read_ports({"PERFCHAOS_PORT_OFFSET": "100", "PERFCHAOS_SERVICE_PORT": "8000"})
    assert moved.service == 8000
    assert moved.redis == Ports().redis + 100


@pytest.mark.parametrize(
    ("port", "fits"), [("0", False), ("1", True), ("65535", True), ("65536", False), ("-1", False)]
)
def test_a_port_is_between_1_and_65535(port: str, fits: bool) -> None:
    environment = {"PERFCHAOS_REDIS_PORT": port}
    if fits:
        assert read_ports(environment).redis == int(port)
    else:
        with pytest.raises(InvalidInput, match="is not a port"):
            read_ports(environment)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        read_ports(
            {
                "PERFCHAOS_REDIS_PORT": "six",
                "PERFCHAOS_SERVICE_PORT": "99999",
                "PERFCHAOS_TOXIPROXY_PORT": "15432",
            }
        )
    assert caught.value.mistakes == (
        "PERFCHAOS_SERVICE_PORT would be 99999, which is not a port",
        "PERFCHAOS_REDIS_PORT is not a whole number",
        "PERFCHAOS_TOXIPROXY_PORT and PERFCHAOS_POSTGRES_PORT would both be 15432",
    )


@pytest.mark.parametrize("host", [HOST, "0.0.0.0"])
def test_a_taken_port_is_told_with_its_use_its_holder_and_its_variable(host: str) -> None:
    with socket.socket() as holder:
        holder.bind((host, 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken) as caught:
            require_free(Ports(redis_proxy=port), ["redis_proxy"])
    assert f"port {port} (redis proxy, PERFCHAOS_REDIS_PROXY_PORT)" in str(caught.value)
    assert f"pid {os.getpid()} " in str(caught.value)
    assert "PERFCHAOS_PORT_OFFSET" in str(caught.value)


def test_a_port_that_was_just_given_up_is_free() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection((HOST, port)):
            accepted, _ = server.accept()
            accepted.close()  # This side closes first and lingers in TIME_WAIT.
    require_free(Ports(redis=port), ["redis"])


def test_only_the_ports_asked_for_are_looked_at() -> None:
    with socket.create_server((HOST, 0)) as server:
        require_free(Ports(redis=server.getsockname()[1]), [])
