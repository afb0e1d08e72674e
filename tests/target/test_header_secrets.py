"""Credentials come from the environment, and are in no file and no error."""

import json
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from perfchaos.errors import InvalidInput
from perfchaos.run.directory import make_run_directory
from perfchaos.target.loading import load_target
from perfchaos.workload.arrivals import Arrivals
from perfchaos.workload.plan import Plan, RequestTemplate, SecretHeader
from perfchaos.workload.rendering import renderer
from tests.target.test_loading import written

SECRET = "hunter2-0000"
BASIC = b64encode(f"me:{SECRET}".encode())


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACME_KEY", "ACME_PASSWORD", "ACME_TOKEN"):
        monkeypatch.setenv(name, SECRET)


@pytest.mark.parametrize(
    ("header", "sent"),
    [
        ({"env": "ACME_TOKEN", "prefix": "Bearer "}, b"Bearer " + SECRET.encode()),
        ({"env": "ACME_TOKEN"}, SECRET.encode()),
        ({"env": "ACME_TOKEN", "basic_user": "me"}, b"Basic " + BASIC),
    ],
)
def test_a_header_comes_from_the_environment_and_is_in_no_plan(
    tmp_path: Path, header: dict[str, str], sent: bytes
) -> None:
    target = load_target(written(tmp_path, {"webhook.headers": {"Authorization": header}}))
    plan = Plan(request=target.webhook, load=Arrivals.constant(rate_per_s=1), seed=1)
    plan.check()
    assert b"\r\nAuthorization: " + sent + b"\r\n" in renderer(plan.request, seed=1)(0)
    text = json.dumps(plan.to_json())
    assert SECRET not in text
    assert BASIC.decode() not in text
    assert Plan.from_json(json.loads(text)) == plan


@pytest.mark.parametrize("value", ["", "two\r\nlines", "caf\u00e9"])
def test_a_value_that_cannot_be_sent_is_refused_and_not_told(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ACME_TOKEN", value)
    header = SecretHeader(name="X-Key", env="ACME_TOKEN")
    request = RequestTemplate(url="http://127.0.0.1/", secret_headers=(header,))
    plan = Plan(request=request, load=Arrivals.constant(rate_per_s=1), seed=1)
    with pytest.raises(InvalidInput, match="ACME_TOKEN") as caught:
        plan.check()
    assert not value or value not in str(caught.value)


def test_an_unset_variable_of_a_header_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ACME_TOKEN")
    with pytest.raises(InvalidInput, match=r"webhook\.headers\.X-Key.*ACME_TOKEN is not set"):
        load_target(written(tmp_path, {"webhook.headers": {"X-Key": {"env": "ACME_TOKEN"}}}))


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook.headers": {"Authorization": f"Bearer {SECRET}"}},
        {"webhook.headers": {"proxy-authorization": f"Basic {SECRET}"}},
        {"webhook.headers": {"X-Key": [SECRET]}},
        {"webhook.signing": SECRET},
        {"postgres.password_env": f"{SECRET}!"},
        {"toxiproxy.token_env": [SECRET]},
        {"redis.control": SECRET},
        {"health": {"url": f"http://me:{SECRET}@127.0.0.1/"}},
        {"webhook.url": f"http://me:{SECRET}@127.0.0.1/"},
    ],
)
def test_no_mistake_quotes_a_secret(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_target(written(tmp_path, changes))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"password: *{SECRET}\n",
        f"a: b: {SECRET}\n",
        f"!{SECRET} a: 1\n",
        f'a: "{SECRET}\n',
        f"%{SECRET}\n---\n",
        f"{SECRET}\x00",
        f"- {SECRET}\n- b\n",
        SECRET,
    ],
)
def test_no_error_of_the_parser_quotes_the_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "target.yaml"
    file.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        load_target(file)
    assert SECRET not in str(caught.value)


def test_bytes_that_are_no_text_are_not_quoted(tmp_path: Path) -> None:
    file = tmp_path / "target.yaml"
    file.write_bytes(SECRET.encode() + b"\xff")
    with pytest.raises(InvalidInput, match="byte 12 is not UTF-8") as caught:
        load_target(file)
    assert SECRET not in str(caught.value)


def test_what_a_run_leaves_is_its_owners_alone(tmp_path: Path) -> None:
    directory = make_run_directory(tmp_path, title="redis", started_at=datetime.now(UTC))
    assert directory.path.stat().st_mode & 0o077 == 0
