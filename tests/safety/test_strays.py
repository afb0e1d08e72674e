"""Toxics of ours that no lease here speaks of are removed; everybody else's are left alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from perfchaos.faults import Toxic
from perfchaos.faults.toxiproxy_client import ToxicState
from perfchaos.processes import Process
from perfchaos.safety.strays import remove_strays
from tests.lab import Lab
from tests.safety.test_leftovers import left_by

pytestmark = pytest.mark.usefixtures("state")

LEASED = "perfchaos-alive-redis-latency-downstream"
STRAY = "perfchaos-elsewhere-redis-latency-downstream"
THEIRS = "their-latency"


def test_only_ours_without_a_lease_is_removed(lab: Lab, tmp_path: Path) -> None:
    left_by("alive", tmp_path / "run", process=Process.current())
    toxic = ToxicState(
        name=THEIRS, type="latency", stream="downstream", toxicity=1.0, attributes={"latency": 1}
    )
    with lab.server() as server:
        for name in (THEIRS, STRAY, LEASED):
            server.add_toxic("redis", replace(toxic, name=name))
    assert remove_strays(lab.address) == (f"toxic {STRAY!r} on proxy 'redis'",)
    assert set(lab.harmed()) == {THEIRS, LEASED}
    assert remove_strays(lab.address) == ()


def test_an_undo_never_brings_back_a_fault_of_ours(lab: Lab) -> None:
    fault = Toxic(on=lab.proxied, type="timeout", attributes={"timeout": 0})
    other = replace(fault, type="latency", attributes={"latency": 1})
    undo = other.prepare("other")
    other.harm(undo)
    snapshot = fault.prepare("run").proxies
    undo.replay()
    assert [toxic for proxy in snapshot for toxic in proxy.toxics] == []
