"""The race in a target file: what is read from it, and every mistake that can be seen in it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from perfchaos.errors import InvalidInput
from perfchaos.target import SetUpRequest, SetUpStatement
from perfchaos.target.loading import load_target
from perfchaos.target.templates import filled
from perfchaos.workload.plan import RequestTemplate

QUERY = "SELECT order_id, vendor_id FROM held WHERE order_id = ANY(%(rounds)s)"


def race(**changes: Any) -> dict[str, Any]:
    section = {
        "set_up": [
            {
                "request": {"url": "http://127.0.0.1:1/orders", "acknowledged": [201]},
                "capture": {"order": "id", "vendor": "vendors"},
            }
        ],
        "compete": {"url": "http://127.0.0.1:1/orders/{order}", "body": '{"by": {vendor}}'},
        "won": [200],
        "lost": [409],
        "round": "order",
        "contender": "vendor",
        "holders": QUERY,
        "effects": QUERY,
    }
    return {key: value for key, value in (section | changes).items() if value is not None}


def target_with(folder: Path, section: dict[str, Any], **others: Any) -> Path:
    document = {
        "name": "acme",
        "webhook": {"url": "http://127.0.0.1:1/", "acknowledged": [200]},
        "postgres": {"host": "127.0.0.1", "port": 1, "database": "acme", "user": "acme"},
        "race": section,
        "blast_radius": {"addresses": ["127.0.0.1"], "longest_fault_s": 60},
    } | others
    path = folder / "acme.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in document.items() if v is not None}))
    return path


def mistakes_of(path: Path) -> str:
    with pytest.raises(InvalidInput) as caught:
        load_target(path)
    return str(caught.value)


def test_a_race_is_read(tmp_path: Path) -> None:
    found = load_target(target_with(tmp_path, race())).race
    assert found is not None
    (step,) = found.set_up
    assert isinstance(step, SetUpRequest)
    assert step.capture == (("order", "id"), ("vendor", "vendors"))
    assert found.compete.acknowledged == (200, 409)
    assert (found.round_field, found.contender_field) == ("order", "vendor")


def test_a_race_may_need_no_set_up(tmp_path: Path) -> None:
    section = race(
        set_up=None,
        compete={
            "method": "PUT",
            "url": "http://127.0.0.1:1/things/{uuid}",
            "headers": {"If-None-Match": "*"},
            "body": "{contender}",
        },
        won=[201],
        lost=[412],
        round="uuid",
        contender="contender",
    )
    found = load_target(target_with(tmp_path, section)).race
    assert found is not None
    assert found.set_up == ()


def test_a_race_may_be_set_up_by_sql(tmp_path: Path) -> None:
    sql = "INSERT INTO orders VALUES (%(uuid)s) RETURNING id AS order"
    found = load_target(target_with(tmp_path, race(set_up=[{"sql": sql}]))).race
    assert found is not None
    assert found.set_up == (SetUpStatement(sql=sql),)


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"won": None}, "'won' is a required property"),
        ({"effects": None}, "'effects' is a required property"),
        ({"won": []}, "race.won"),
        ({"winners": "x"}, "'winners' was unexpected"),
        ({"set_up": [{"sql": "SELECT 1", "capture": {}}]}, "race.set_up.0"),
        ({"holders": "SELECT 1"}, "race.holders: it does not use %(rounds)s"),
        ({"effects": "SELECT 1"}, "race.effects: it does not use %(rounds)s"),
        ({"lost": [200]}, "tell them apart with won_when"),
        ({"lost": [200], "won_when": "("}, "won_when: it is not a regular expression"),
        ({"round": "ordre"}, "race.round: nothing gives the field 'ordre'"),
        ({"contender": "uuid"}, "race.contender: nothing gives the field 'uuid'"),
        ({"contender": "contenders"}, "{contenders} is the same for all of them"),
        (
            {"compete": {"url": "http://127.0.0.1:1/{ordre}"}},
            "race.compete: nothing gives the field 'ordre'",
        ),
        (
            {"compete": {"url": "http://127.0.0.1:1/ with spaces"}},
            "race.compete: url",
        ),
        (
            {"compete": {"url": "http://{order}.internal/"}},
            "a field stands in the host of a URL",
        ),
        ({"set_up": [{"sql": "SELECT %(vendor)s"}]}, "nothing gives the field 'vendor'"),
        (
            {"compete": {"url": "http://127.0.0.1:1/{vendor}", "signing": {
                "header": "X", "secret_env": "NO_SUCH_SECRET"}}},
            "race.compete.signing.secret_env: the environment variable NO_SUCH_SECRET is not set",
        ),
    ],
)  # fmt: skip
def test_a_race_that_cannot_be_run_says_why(
    tmp_path: Path, changes: dict[str, Any], mistake: str
) -> None:
    assert mistake in mistakes_of(target_with(tmp_path, race(**changes)))


def test_a_race_without_a_database_has_nobody_to_ask(tmp_path: Path) -> None:
    path = target_with(tmp_path, race(), postgres=None)
    assert "race: there is no postgres section to ask who won" in mistakes_of(path)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    told = mistakes_of(target_with(tmp_path, race(round="x", holders="SELECT 1", lost=[200])))
    assert told.count("race.") == 3


def test_values_stay_values_when_they_are_filled_in() -> None:
    template = RequestTemplate(
        url="http://127.0.0.1:1/{id}?q={id}",
        headers=(("X-Id", "{id}"),),
        body='{"id": "{id}", "n": {n}, "other": {"id": {count}}}',
    )
    request = filled(template, {"id": 'a/b "c"\r\nX: {n}', "count": 3})
    assert request.url == (
        "http://127.0.0.1:1/a%2Fb%20%22c%22%0D%0AX%3A%20%7Bn%7D?q="
        "a%2Fb%20%22c%22%0D%0AX%3A%20%7Bn%7D"
    )
    assert request.headers == (("X-Id", 'a/b "c"X: {n}'),)
    assert request.body == ('{"id": "a/b \\"c\\"\\r\\nX: {n}", "n": {n}, "other": {"id": 3}}')
