"""Every undo survives the way through JSON; what is not understood is said to be so."""

import json

import pytest

from perfchaos.containers import Limits
from perfchaos.errors import PerfchaosError
from perfchaos.faults.container import Container
from perfchaos.faults.container_impaired import RemoveNetem
from perfchaos.faults.container_squeezed import RestoreLimits
from perfchaos.faults.container_start import StartContainer
from perfchaos.faults.disabled_proxy import RestoreProxy
from perfchaos.faults.ended_postgres import StartPostgres
from perfchaos.faults.ended_process import StartProcess
from perfchaos.faults.fault import Undo
from perfchaos.faults.mechanisms import Document, from_document, to_document
from perfchaos.faults.paused_process import ResumeProcess
from perfchaos.faults.toxic import RemoveToxic
from perfchaos.faults.toxiproxy_client import ProxyState, ToxicState, ToxiproxyAddress
from perfchaos.processes import Process

ADDRESS = ToxiproxyAddress(url="http://[::1]:8474", token_env="TOKEN", control="process:/x.pid")
PROXIES = (
    ProxyState(
        name="redis",
        listen="[::]:1",
        upstream="u:2",
        enabled=False,
        toxics=(
            ToxicState(
                name="t", type="latency", stream="upstream", toxicity=0.5, attributes={"latency": 1}
            ),
        ),
    ),
)
CONTAINER = StartContainer(
    container=Container(engine="unix:///x", id="1" * 64, name="c"),
    started_at="then",
    restart_policy="no",
    emptied_folder=None,
    grace_s=10,
)
SWITCH = RestoreProxy(toxiproxy=ADDRESS, proxy="redis", enabled=True, proxies=PROXIES)


@pytest.mark.parametrize(
    "undo",
    [
        RemoveToxic(toxiproxy=ADDRESS, proxy="redis", toxic="t", proxies=PROXIES),
        SWITCH,
        ResumeProcess(pid=7, started="1@boot"),
        StartProcess(
            pid_file="/x.pid", emptied=True, ended=Process(pid=7, started="1@boot"), grace_s=None
        ),
        StartPostgres(start=CONTAINER, proxy=SWITCH, host="::1", port=1),
        RestoreLimits(
            container=CONTAINER.container,
            before=Limits(memory_bytes=None, memory_swap_bytes=1, cpus=0.5),
        ),
        RemoveNetem(container=CONTAINER.container, interfaces=("eth0", "eth1")),
    ],
)
def test_an_undo_is_the_same_after_json(undo: Undo) -> None:
    assert from_document(json.loads(json.dumps(to_document(undo)))) == undo


@pytest.mark.parametrize(
    "document",
    [{}, {"mechanism": "magic"}, {"mechanism": "process paused", "pid": 7}, {"mechanism": None}],
)
def test_an_undo_of_another_version_is_an_error(document: Document) -> None:
    with pytest.raises(PerfchaosError, match="not understood"):
        from_document(document)
