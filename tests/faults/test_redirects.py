"""A Redis that sends its clients past the proxy is found out, and no other."""

from pathlib import Path

import pytest

from perfchaos.errors import PerfchaosError
from perfchaos.faults import Route, require_no_redirects
from perfchaos.redis_client import announced_nodes
from tests.redis_server import HOST, as_target, free_port, own_all_slots, redis_server

PROXY = Route(protocol="redis", host=HOST, port=1)
CLUSTER = ("--cluster-enabled", "yes", "--save", "")


def test_a_server_by_itself_sends_nobody_anywhere(tmp_path: Path) -> None:
    with redis_server(tmp_path, "--save", "") as client:
        assert announced_nodes(as_target(client)) == ()
        require_no_redirects(as_target(client), PROXY)


def test_a_cluster_that_announces_itself_redirects_past_the_proxy(tmp_path: Path) -> None:
    port = free_port()
    with redis_server(tmp_path, *CLUSTER, port=port) as client:
        own_all_slots(client)
        with pytest.raises(PerfchaosError, match=f"redirects its clients to {HOST}:{port}, past"):
            require_no_redirects(as_target(client), PROXY)


@pytest.mark.parametrize("host", [HOST, "localhost"])
def test_a_cluster_that_announces_its_proxy_does_not(tmp_path: Path, host: str) -> None:
    announced = ("--cluster-announce-ip", HOST, "--cluster-announce-port", "6000")
    with redis_server(tmp_path, *CLUSTER, *announced) as client:
        own_all_slots(client)
        require_no_redirects(as_target(client), Route(protocol="redis", host=host, port=6000))
