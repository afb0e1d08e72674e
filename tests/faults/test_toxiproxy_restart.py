"""A Toxiproxy that hangs or is gone is started anew with what it held, where that is allowed."""

from dataclasses import replace
from pathlib import Path

import pytest

from perfchaos import processes
from perfchaos.faults import DisabledProxy, Toxic
from perfchaos.faults.proxied import toxiproxy_of
from perfchaos.faults.toxiproxy_client import ToxicState, ToxiproxySilent
from perfchaos.faults.toxiproxy_restart import revive
from perfchaos.launches import Launch
from perfchaos.target import Handle, Target, Toxiproxy
from perfchaos.workload.plan import RequestTemplate
from tests.lab import BLAST_RADIUS, Lab

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


@pytest.mark.parametrize("died", ["before the run", "in the run"])
def test_one_of_somebody_elses_that_died_is_started_by_its_start_command(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, died: str
) -> None:
    monkeypatch.setenv("PERFCHAOS_STATE_DIR", str(tmp_path))
    record = lab.toxiproxy_pid_file.with_suffix(".json")
    ours = record.read_text()
    with lab.server() as server:
        held = server.proxies()
    target = Target(
        path=Path("acme.yaml"),
        name="acme",
        webhook=RequestTemplate(url="http://127.0.0.1:1/"),
        health_url=None,
        redis=None,
        postgres=None,
        toxiproxy=Toxiproxy(
            url=lab.address.url,
            token_env=None,
            control=Handle(
                kind="process",
                name=str(lab.toxiproxy_pid_file),
                start=Launch.read(lab.toxiproxy_pid_file).argv,
            ),
        ),
        race=None,
        ledger_query=None,
        blast_radius=replace(BLAST_RADIUS, services=frozenset({"toxiproxy"})),
    )
    record.unlink()
    try:
        if died == "before the run":
            processes.kill(lab.toxiproxy_pid_file)
        address = toxiproxy_of(target)
        if died == "in the run":
            processes.kill(lab.toxiproxy_pid_file)
        revive(address, held)
        assert lab.harmed() == []
    finally:
        processes.kill(lab.toxiproxy_pid_file)
        record.write_text(ours)
