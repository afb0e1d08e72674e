import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfchaos.recording.ids import SERIES_MAX, first_and_last, first_number, id_of
from perfchaos.workload.plan import RequestTemplate, Signing
from perfchaos.workload.rendering import Origin, renderer, signer


def split(data: bytes) -> tuple[list[str], bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    return head.decode().split("\r\n"), body


@given(
    body=st.text(max_size=200).filter(
        lambda t: "{uuid}" not in t and "{n}" not in t and "{now}" not in t
    ),
    n=st.integers(0, 2**32 - 1),
)
def test_all_but_the_three_fields_is_sent_as_it_stands(body: str, n: int) -> None:
    """Braces and percent signs above all."""
    template = RequestTemplate(url="http://x/", body=body + "{uuid}" + body)
    lines, sent = split(renderer(template, seed=3)(n))
    assert sent == f"{body}{id_of(3, n)}{body}".encode()
    assert f"Content-Length: {len(sent)}" in lines
    constant = RequestTemplate(url="http://x/", body=body)
    assert split(renderer(constant, seed=3)(n))[1] == body.encode()


@pytest.mark.parametrize("n", [0, 9, 10, 4_294_967_295])
def test_the_length_follows_the_number(n: int) -> None:
    lines, body = split(renderer(RequestTemplate(url="http://x/", body='{"n":{n}}'), seed=1)(n))
    assert json.loads(body) == {"n": n}
    assert f"Content-Length: {len(body)}" in lines


def test_each_load_of_a_run_has_ids_of_its_own_in_one_range() -> None:
    template = RequestTemplate(url="http://x/", body="{uuid} {n}")
    sent = [split(renderer(template, seed=3, series=series)(7))[1] for series in (0, 1, SERIES_MAX)]
    assert sent == [f"{id_of(3, first_number(s) + 7)} 7".encode() for s in (0, 1, SERIES_MAX)]
    first, last = first_and_last(3)
    assert all(first <= body.decode().split()[0] <= last for body in sent)


def test_the_head_says_what_http_needs_and_no_more() -> None:
    render = renderer(RequestTemplate(method="GET", url="http://shop.example:81"), seed=1)
    lines, body = split(render(5))
    expected = ["GET / HTTP/1.1", "Host: shop.example:81", "User-Agent: perfchaos", "Accept: */*"]
    assert lines == expected
    assert body == b""


def test_an_empty_post_says_that_it_is_empty() -> None:
    lines, _ = split(renderer(RequestTemplate(url="http://x/"), seed=1)(0))
    assert "Content-Length: 0" in lines


def test_own_headers_take_the_place_of_ours() -> None:
    headers = (("host", "other"), ("USER-AGENT", "me"), ("Accept", "text/plain"))
    lines, _ = split(renderer(RequestTemplate(url="http://x/", headers=headers), seed=1)(0))
    assert [line.partition(":")[0].lower() for line in lines[1:4]] == [
        "host",
        "user-agent",
        "accept",
    ]


@given(
    key=st.binary(max_size=200),
    content=st.binary(max_size=300),
    algorithm=st.sampled_from(["sha1", "sha256", "sha512"]),
)
def test_signatures_are_those_of_rfc_2104(key: bytes, content: bytes, algorithm: str) -> None:
    sign = signer(Signing(header="X", secret_env="E", algorithm=algorithm), key)
    for _ in range(2):  # The padded keys are copied, not used up.
        assert sign(content) == hmac.new(key, content, algorithm).hexdigest().encode()


def test_a_constant_body_is_signed_too() -> None:
    signing = Signing(header="X-Sig", prefix="v1=", secret_env="E")
    template = RequestTemplate(url="http://x/", body="hello", signing=signing)
    lines, _ = split(renderer(template, seed=1, key=b"k")(0))
    assert f"X-Sig: v1={hmac.new(b'k', b'hello', hashlib.sha256).hexdigest()}" in lines


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("http://shop.example/x", "shop.example", 80, False),
        ("https://shop.example", "shop.example", 443, True),
        ("http://127.0.0.1:81/", "127.0.0.1", 81, False),
        ("http://[::1]:81/", "::1", 81, False),
    ],
)
def test_origins_of_urls(url: str, host: str, port: int, tls: bool) -> None:
    assert Origin.of(url) == Origin(host=host, port=port, tls=tls)
