"""A toxic in stages: each is in force on the data plane, and the mildest is what to look for."""

import time
from contextlib import closing

import pytest
import redis

from perfchaos.errors import InvalidInput
from perfchaos.faults import ChangingToxic, Toxic
from perfchaos.faults.toxiproxy_client import Attributes
from tests.lab import HOST, Lab


def stages(
    lab: Lab, kind: str, *attributes: Attributes, toxicities: tuple[float, ...] = ()
) -> ChangingToxic:
    shares = toxicities or (1.0,) * len(attributes)
    return ChangingToxic(
        stages=tuple(
            Toxic(on=lab.proxied, type=kind, attributes=one, toxicity=share)
            for one, share in zip(attributes, shares, strict=True)
        )
    )


def ping_s(lab: Lab) -> float:
    with closing(redis.Redis(host=HOST, port=lab.proxy_port)) as client:
        client.ping()
        began_s = time.monotonic()
        client.ping()
        return time.monotonic() - began_s


def test_every_stage_is_in_force_until_the_next(lab: Lab) -> None:
    fault = stages(lab, "latency", {"latency": 60}, {"latency": 200}, {"latency": 120})
    undo = fault.prepare("run")
    fault.harm(undo)
    assert ping_s(lab) >= 0.06
    fault.change_to(fault.stages[1], undo)
    assert ping_s(lab) >= 0.2
    fault.change_to(fault.stages[2], undo)
    assert ping_s(lab) >= 0.12
    undo.replay()
    assert lab.harmed() == []


def test_what_pings_show_is_what_the_mildest_stage_shows(lab: Lab) -> None:
    fault = stages(lab, "latency", {"latency": 200}, {"latency": 100}, toxicities=(0.5, 1.0))
    assert fault.symptom is not None
    assert fault.symptom.delay_ms == pytest.approx(90)
    assert fault.symptom.ratio == 0.5


def test_a_stage_that_pings_cannot_tell_makes_all_of_it_read_back(lab: Lab) -> None:
    assert stages(lab, "bandwidth", {"rate": 0}, {"rate": 100}).symptom is None


def test_stages_of_different_toxics_are_refused(lab: Lab) -> None:
    latency = Toxic(on=lab.proxied, type="latency", attributes={"latency": 10})
    timeout = Toxic(on=lab.proxied, type="timeout", attributes={"timeout": 0})
    with pytest.raises(InvalidInput, match="not stages of one toxic"):
        ChangingToxic(stages=(latency, timeout))
    with pytest.raises(InvalidInput, match="latncy"):
        stages(lab, "latency", {"latency": 10}, {"latncy": 10})
