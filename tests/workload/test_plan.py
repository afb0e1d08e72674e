import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfchaos.errors import InvalidInput
from perfchaos.workload.arrivals import Arrivals, Stage
from perfchaos.workload.plan import ClosedLoop, Plan, RequestTemplate, Signing

PLAN = Plan(
    request=RequestTemplate(
        url="https://shop.example/hook?x=1",
        headers=(("X-A", "b"),),
        body='{"id": "{uuid}"}',
        signing=Signing(header="X-Signature", prefix="sha256=", secret_env="HOOK_KEY"),
        refused=(503,),
    ),
    load=Arrivals(stages=(Stage(duration_s=1.0, start_per_s=1.0, end_per_s=2.0),), poisson=True),
    seed=5,
    duration_s=10.0,
)


@pytest.mark.parametrize(
    "plan",
    [
        PLAN,
        Plan(
            request=RequestTemplate(method="GET", url="http://[::1]:8080"),
            load=ClosedLoop(in_flight_count=4),
            seed=0,
        ),
    ],
)
def test_a_plan_survives_json(plan: Plan) -> None:
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert plan.mistakes() == []


def changed(change: Callable[[Any], object]) -> object:
    data = json.loads(json.dumps(PLAN.to_json()))
    change(data)
    return data


@pytest.mark.parametrize(
    ("data", "mistake"),
    [
        (changed(lambda d: d.update(colour="red")), "unknown key 'colour'"),
        (changed(lambda d: d["request"].update(uri="x")), "plan.request: unknown key 'uri'"),
        (changed(lambda d: d.pop("seed")), "seed is missing"),
        (changed(lambda d: d.update(seed="5")), "plan.seed: '5' is not a whole number"),
        (changed(lambda d: d.update(seed=True)), "plan.seed"),
        (changed(lambda d: d.update(tls_verify=1)), "is not true or false"),
        (changed(lambda d: d.update(duration_s="10s")), "plan.duration_s"),
        (changed(lambda d: d["request"].update(headers=[["only a name"]])), "2 items are needed"),
        (changed(lambda d: d["request"].update(acknowledged=[200, "201"])), "acknowledged[1]"),
        (changed(lambda d: d["load"].update(stages=[])), "at least one stage"),
        (changed(lambda d: d["request"].update(url="ftp://x/")), "is not http"),
        (changed(lambda d: d["request"].update(timeout_s=0)), "timeout_s 0"),
        ([], "is not a mapping"),
        (None, "is not a mapping"),
    ],
)
def test_json_that_is_no_plan_is_refused_with_its_place(data: object, mistake: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Plan.from_json(data)
    assert any(mistake in found for found in refused.value.mistakes)


def test_all_mistakes_are_listed_at_once() -> None:
    def spoil(data: Any) -> None:
        data.update(colour="red", seed="x")
        data["request"]["method"] = 5

    with pytest.raises(InvalidInput) as refused:
        Plan.from_json(changed(spoil))
    assert len(refused.value.mistakes) == 3


@given(
    data=st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["request", "load", "seed", "stages", "x"]), inner, max_size=3
            )
        ),
    )
)
def test_no_json_gives_a_traceback(data: object) -> None:
    with pytest.raises(InvalidInput):
        Plan.from_json(data)


@pytest.mark.parametrize(
    ("url", "mistake"),
    [
        ("http://", "is not http"),
        ("shop.example/hook", "is not http"),
        ("http://user:secret@shop.example/", "user name or password"),
        ("http://shop.example:99999/", "Port"),
        ("http://shop.example:0/", "port 0"),
        ("http://a..b/", "cannot be looked up"),
        (f"http://{'a' * 64}.example/", "cannot be looked up"),
        ("http://shop.example/a b", "percent-encoding"),
        ("http://shop.example/\r\nX: y", "percent-encoding"),
        ("http://shöp.example/", "percent-encoding"),
        ("http://[::1/", "Invalid IPv6"),
    ],
)
def test_urls_that_cannot_be_sent_are_named(url: str, mistake: str) -> None:
    found = RequestTemplate(url=url).mistakes()
    assert len(found) == 1
    assert mistake in found[0]


def test_the_password_in_a_url_is_not_repeated() -> None:
    found = RequestTemplate(url="http://user:secret@shop.example/").mistakes()
    assert "secret" not in " ".join(found)


@pytest.mark.parametrize(
    ("header", "mistake"),
    [
        (("Content-Length", "5"), "written by the load engine"),
        (("transfer-encoding", "chunked"), "written by the load engine"),
        (("Connection", "close"), "written by the load engine"),
        (("X A", "b"), "not a token"),
        (("", "b"), "not a token"),
        (("X-A", "b\r\nX-B: c"), "line break"),
    ],
)
def test_headers_that_would_break_the_request_are_named(
    header: tuple[str, str], mistake: str
) -> None:
    found = RequestTemplate(url="http://x/", headers=(header,)).mistakes()
    assert len(found) == 1
    assert mistake in found[0]


@pytest.mark.parametrize(
    "change",
    [
        {"acknowledged": ()},
        {"acknowledged": (99,)},
        {"acknowledged": (600,)},
        {"refused": (200,)},
        {"method": "GO AHEAD"},
        {"method": "CONNECT"},
        {"timeout_s": 600.1},
        {"timeout_s": float("nan")},
        {"signing": Signing(header="X", secret_env="")},
        {"signing": Signing(header="X", secret_env="A", algorithm="md5")},
    ],
)
def test_templates_that_make_no_sense_are_named(change: dict[str, Any]) -> None:
    assert len(RequestTemplate(url="http://x/", **change).mistakes()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"connections_max": 0},
        {"connections_max": 20_001},
        {"in_flight_max": 0},
        {"reply_bytes_max": 1},
        {"processes": 0},
        {"processes": 65},
        {"seed": -1},
        {"duration_s": 0.0},
        {"duration_s": float("inf")},
        {"connections_max": 1, "processes": 2},
    ],
)
def test_plans_that_make_no_sense_are_named(change: dict[str, Any]) -> None:
    plan = Plan(**({"request": PLAN.request, "load": PLAN.load, "seed": 1} | change))
    assert len(plan.mistakes()) == 1


def test_a_missing_signing_key_is_named_by_its_variable() -> None:
    with pytest.raises(InvalidInput, match="HOOK_KEY"):
        PLAN.check({})
    PLAN.check({"HOOK_KEY": "k"})


def test_refused_statuses_of_the_target_leave_the_rest_undecided() -> None:
    request = RequestTemplate(url="http://x/", refused=(429,))
    names = [request.outcome_of(status).name for status in (200, 429, 503)]
    assert names == ["ACKED", "REFUSED", "INDETERMINATE"]


def test_a_pattern_for_the_body_that_is_none_is_a_mistake() -> None:
    request = RequestTemplate(url="http://x/", acknowledged_when="(")
    assert "acknowledged_when: it is not a regular expression" in request.mistakes()[0]
