"""Toxics and disabled proxies: refused when senseless, undone to the state before."""

import pytest

from perfchaos.errors import InvalidInput, PerfchaosError
from perfchaos.faults import DisabledProxy, Fate, Proxied, Toxic
from perfchaos.faults.toxiproxy_client import Attributes, NotThere, ToxicState
from tests.lab import Lab


def toxic(on: Proxied, kind: str = "timeout", **attributes: int) -> Toxic:
    return Toxic(on=on, type=kind, attributes=attributes)


@pytest.mark.parametrize(
    ("kind", "attributes", "toxicity", "mistake"),
    [
        ("rust", {}, 1.0, "type 'rust' is none of"),
        ("latency", {"latncy": 5}, 1.0, "no attribute 'latncy', only jitter, latency"),
        ("latency", {"latency": -50}, 1.0, "latency is -50"),
        ("latency", {"latency": 0.5}, 1.0, "latency is 0.5, not a whole number"),
        ("latency", {"latency": True}, 1.0, "latency is True"),
        ("timeout", {"timeout": 0}, 0.0, "toxicity is 0.0"),
        ("timeout", {"timeout": 0}, 1.1, "toxicity is 1.1"),
    ],
)
def test_a_senseless_toxic_is_refused_before_anything_is_asked(
    lab: Lab, kind: str, attributes: Attributes, toxicity: float, mistake: str
) -> None:
    fault = Toxic(on=lab.proxied, type=kind, attributes=attributes, toxicity=toxicity)
    with pytest.raises(InvalidInput, match=mistake):
        fault.prepare("run")
    assert lab.harmed() == []


def test_both_directions_can_be_harmed_at_once(lab: Lab) -> None:
    faults = [
        Toxic(on=lab.proxied, type="timeout", stream="upstream", attributes={"timeout": 0}),
        Toxic(on=lab.proxied, type="timeout", stream="downstream", attributes={"timeout": 0}),
    ]
    undos = [fault.prepare("run") for fault in faults]
    for fault, undo in zip(faults, undos, strict=True):
        fault.harm(undo)
    assert len(lab.harmed()) == 2
    for undo in undos:
        undo.replay()
        undo.replay()
    assert lab.harmed() == []


def test_the_toxic_carries_the_run_in_its_name(lab: Lab) -> None:
    fault = toxic(lab.proxied, timeout=0)
    fault.harm(fault.prepare("run-7"))
    assert lab.harmed() == ["perfchaos-run-7-redis-timeout-downstream"]


def test_the_same_toxic_twice_is_refused(lab: Lab) -> None:
    fault = toxic(lab.proxied, timeout=0)
    fault.harm(fault.prepare("run"))
    with pytest.raises(PerfchaosError, match="has the toxic"):
        fault.prepare("run")


def test_a_toxic_of_somebody_else_stays(lab: Lab) -> None:
    theirs = ToxicState(
        name="theirs", type="latency", stream="upstream", toxicity=1, attributes={"latency": 1}
    )
    with lab.server() as server:
        server.add_toxic("redis", theirs)
    fault = toxic(lab.proxied, timeout=0)
    undo = fault.prepare("run")
    fault.harm(undo)
    undo.replay()
    assert lab.harmed() == ["theirs"]


def test_a_toxic_deleted_behind_our_back_needs_no_undo(lab: Lab) -> None:
    fault = toxic(lab.proxied, timeout=0)
    undo = fault.prepare("run")
    fault.harm(undo)
    with lab.server() as server:
        server.remove_toxic("redis", undo.toxic)
    undo.replay()
    assert lab.harmed() == []


def test_a_proxy_deleted_behind_our_back_is_put_back(lab: Lab) -> None:
    fault = DisabledProxy(on=lab.proxied)
    undo = fault.prepare("run")
    fault.harm(undo)
    with lab.server() as server:
        server.call("DELETE", "/proxies/redis")
    undo.replay()
    assert lab.harmed() == []


@pytest.mark.parametrize("kind", ["toxic", "disabled proxy"])
def test_a_proxy_that_was_disabled_before_is_not_harmed_and_stays_disabled(
    lab: Lab, kind: str
) -> None:
    fault = toxic(lab.proxied, timeout=0) if kind == "toxic" else DisabledProxy(on=lab.proxied)
    with lab.server() as server:
        server.set_enabled("redis", enabled=False)
    with pytest.raises(PerfchaosError, match="is disabled"):
        fault.prepare("run")
    assert lab.harmed() == ["disabled"]


def test_a_proxy_that_is_not_there_is_named_with_those_that_are(lab: Lab) -> None:
    elsewhere = Proxied(
        dependency="redis", proxy="reddis", toxiproxy=lab.address, route=lab.proxied.route
    )
    with pytest.raises(NotThere, match=r"no proxy 'reddis' \(it has 'redis'\)"):
        toxic(elsewhere, timeout=0).prepare("run")


@pytest.mark.parametrize(
    ("kind", "attributes", "toxicity", "seen"),
    [
        ("timeout", {"timeout": 0}, 1.0, True),
        ("timeout", {"timeout": 0}, 0.3, True),
        ("timeout", {"timeout": 0}, 0.01, False),
        ("reset_peer", {"timeout": 0}, 1.0, True),
        ("bandwidth", {"rate": 0}, 1.0, True),
        ("bandwidth", {"rate": 100}, 1.0, False),
        ("latency", {"latency": 100, "jitter": 50}, 1.0, True),
        ("latency", {"latency": 50, "jitter": 50}, 1.0, False),
        ("latency", {"latency": 5}, 1.0, False),
        ("limit_data", {"bytes": 500}, 1.0, True),
        ("limit_data", {"bytes": 501}, 1.0, False),
        ("slicer", {"average_size": 1}, 1.0, False),
    ],
)
def test_what_a_ping_cannot_tell_is_not_claimed(
    lab: Lab, kind: str, attributes: Attributes, toxicity: float, seen: bool
) -> None:
    fault = Toxic(on=lab.proxied, type=kind, attributes=attributes, toxicity=toxicity)
    assert (fault.symptom is not None) is seen


def test_refusing_is_what_a_disabled_proxy_shows(lab: Lab) -> None:
    symptom = DisabledProxy(on=lab.proxied).symptom
    assert symptom is not None
    assert set(symptom.fates) == {Fate.CLOSED, Fate.REFUSED}
