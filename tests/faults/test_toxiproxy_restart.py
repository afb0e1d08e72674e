"""A Toxiproxy that hangs or is gone is started anew with what it held, where that is allowed."""

from dataclasses import replace

import pytest

from perfchaos import processes
from perfchaos.faults import DisabledProxy, Toxic
from perfchaos.faults.toxiproxy_client import ToxicState, ToxiproxySilent
from tests.lab import Lab

THEIRS = ToxicState(
    name="theirs", type="latency", stream="upstream", toxicity=1, attributes={"latency": 1}
)


@pytest.mark.parametrize("state", ["hangs", "is gone"])
def test_it_is_restarted_with_what_it_held_and_without_our_harm(lab: Lab, state: str) -> None:
    with lab.server() as server:
        server.add_toxic("redis", THEIRS)
    silent = Toxic(on=lab.proxied, type="timeout", attributes={"timeout": 0})
    refused = DisabledProxy(on=lab.proxied)
    remove, enable = silent.prepare("run"), refused.prepare("run")
    silent.harm(remove)
    refused.harm(enable)
    if state == "hangs":
        processes.pause(lab.toxiproxy_pid_file)
    else:
        processes.kill(lab.toxiproxy_pid_file)
    enable.last_resort()
    remove.last_resort()
    assert lab.harmed() == ["theirs"]


def test_a_person_is_told_what_to_do_where_it_may_not_be_restarted(lab: Lab) -> None:
    on = replace(lab.proxied, toxiproxy=replace(lab.address, control=None))
    undo = Toxic(on=on, type="timeout", attributes={"timeout": 0}).prepare("run")
    processes.kill(lab.toxiproxy_pid_file)
    with pytest.raises(ToxiproxySilent, match="restart it and its proxies yourself"):
        undo.last_resort()
    assert processes.running(lab.toxiproxy_pid_file) is None


def test_one_that_answers_is_not_restarted(lab: Lab) -> None:
    before = processes.running(lab.toxiproxy_pid_file)
    undo = Toxic(on=lab.proxied, type="timeout", attributes={"timeout": 0}).prepare("run")
    undo.last_resort()
    assert processes.running(lab.toxiproxy_pid_file) == before
