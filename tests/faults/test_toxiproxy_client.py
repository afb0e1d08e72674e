"""The client believes nothing it has not read back, and waits for nobody."""

import socket
import time

import pytest
from toxiproxy.api import APIConsumer

from perfchaos.faults.toxiproxy_client import (
    NotThere,
    ToxicState,
    ToxiproxyAddress,
    ToxiproxyError,
    ToxiproxyServer,
    ToxiproxySilent,
)
from tests.fake_api import Answer, believable, fake_api
from tests.lab import Lab

SLOW = ToxicState(
    name="slow", type="latency", stream="upstream", toxicity=0.25, attributes={"latency": 7}
)


def server(url: str, **more: str) -> ToxiproxyServer:
    return ToxiproxyServer(ToxiproxyAddress(url=url, **more), timeout_s=0.3)


def test_a_toxic_is_there_after_adding_and_gone_after_removing(lab: Lab) -> None:
    with lab.server() as api:
        api.add_toxic("redis", SLOW)
        found = api.proxy("redis").toxic("slow")
        assert found is not None
        assert (found.stream, found.toxicity, found.attributes["latency"]) == ("upstream", 0.25, 7)
        api.remove_toxic("redis", "slow")
        assert api.proxy("redis").toxics == ()


def test_a_toxic_is_updated_in_place(lab: Lab) -> None:
    changed = ToxicState(
        name="slow", type="latency", stream="upstream", toxicity=1.0, attributes={"latency": 9}
    )
    with lab.server() as api:
        api.add_toxic("redis", SLOW)
        api.update_toxic("redis", changed)
        found = api.proxy("redis").toxic("slow")
        assert found is not None
        assert found.attributes["latency"] == 9


def test_removing_a_toxic_that_is_gone_is_fine(lab: Lab) -> None:
    with lab.server() as api:
        api.remove_toxic("redis", "never was")


def test_an_unknown_proxy_is_named(lab: Lab) -> None:
    with lab.server() as api, pytest.raises(NotThere, match="proxy not found"):
        api.proxy("postgres")


def test_the_server_s_own_complaint_is_passed_on(lab: Lab) -> None:
    odd = ToxicState(name="x", type="rust", stream="upstream", toxicity=1, attributes={})
    with lab.server() as api, pytest.raises(ToxiproxyError, match="invalid toxic type"):
        api.add_toxic("redis", odd)


@pytest.mark.parametrize("enabled", [True, False])
def test_a_500_is_not_success(enabled: bool) -> None:
    with (
        fake_api((500, '{"error": "no"}')) as api,
        server(api.url) as client,
        pytest.raises(ToxiproxyError, match="HTTP 500"),
    ):
        client.set_enabled("redis", enabled=enabled)


def test_a_change_that_cannot_be_read_back_is_an_error() -> None:
    with fake_api(believable) as api, server(api.url) as client:
        with pytest.raises(ToxiproxyError, match="was not disabled"):
            client.set_enabled("redis", enabled=False)
        with pytest.raises(ToxiproxyError, match="does not have the toxic asked for"):
            client.add_toxic("redis", SLOW)


@pytest.mark.parametrize(
    "answer",
    [
        (200, "<html>busy</html>"),
        (503, "<html>busy</html>"),
        (200, "[]"),
        (200, '{"redis": 3}'),
        (200, ""),
        (307, ""),
    ],
)
def test_what_is_not_a_toxiproxy_is_told_as_such(answer: Answer) -> None:
    with fake_api(answer) as api, server(api.url) as client, pytest.raises(ToxiproxyError):
        client.proxy("redis")


def test_nobody_listening_is_refused_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # Bound and not listening: the port is surely refused.
        port = taken.getsockname()[1]
        with (
            server(f"http://127.0.0.1:{port}") as client,
            pytest.raises(ToxiproxySilent, match="connection refused"),
        ):
            client.proxies()


def test_a_server_that_hangs_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        port = hanging.getsockname()[1]
        begun_s = time.monotonic()
        with (
            server(f"http://127.0.0.1:{port}") as client,
            pytest.raises(ToxiproxySilent, match="no answer in time"),
        ):
            client.proxies()
        assert time.monotonic() - begun_s < 20  # The server's own patience is 25 s.


def test_the_token_is_sent_and_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_TOKEN", "s3cret-canary")
    with fake_api((401, "{}")) as api, server(api.url, token_env="THE_TOKEN") as client:
        with pytest.raises(ToxiproxyError) as failure:
            client.proxies()
        assert api.headers[0]["Authorization"] == "Bearer s3cret-canary"
    assert "s3cret-canary" not in str(failure.value)


def test_a_token_that_is_not_set_is_named() -> None:
    with pytest.raises(ToxiproxyError, match="NOT_SET_ANYWHERE"):
        server("http://127.0.0.1:1", token_env="NOT_SET_ANYWHERE")


def test_a_proxy_of_the_environment_is_not_used(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with lab.server() as api:
        assert [proxy.name for proxy in api.proxies()] == ["redis"]


def test_ipv6_is_spoken() -> None:
    with fake_api(believable, host="::1") as api, server(api.url) as client:
        assert client.proxy("redis").enabled


def test_two_servers_in_one_process_are_kept_apart() -> None:
    with fake_api(believable) as one, fake_api(believable) as other:
        with server(one.url) as first, server(other.url) as second:
            first.remove_toxic("redis", "a")
            second.remove_toxic("redis", "b")
        assert one.asked == ["DELETE /proxies/redis/toxics/a", "GET /proxies/redis"]
        assert other.asked == ["DELETE /proxies/redis/toxics/b", "GET /proxies/redis"]


def test_the_library_used_by_itself_is_as_it_was() -> None:
    assert APIConsumer.host == "127.0.0.1"
    assert APIConsumer.port == 8474


def test_restoring_leaves_what_is_there_alone(lab: Lab) -> None:
    with lab.server() as api:
        before = api.proxies()
        api.call("DELETE", "/proxies/redis")
        api.restore(before)
        api.restore(before)
        assert api.proxies() == before
