"""Every undo survives the way through JSON; what is not understood is said to be so."""

import json

import pytest

from perfchaos.errors import PerfchaosError
from perfchaos.faults.disabled_proxy import RestoreProxy
from perfchaos.faults.ended_process import StartProcess
from perfchaos.faults.fault import Undo
from perfchaos.faults.mechanisms import Document, from_document, to_document
from perfchaos.faults.paused_process import ResumeProcess
from perfchaos.faults.toxic import RemoveToxic
from perfchaos.faults.toxiproxy_client import ProxyState, ToxicState, ToxiproxyAddress

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


@pytest.mark.parametrize(
    "undo",
    [
        RemoveToxic(toxiproxy=ADDRESS, proxy="redis", toxic="t", proxies=PROXIES),
        RestoreProxy(toxiproxy=ADDRESS, proxy="redis", enabled=True, proxies=PROXIES),
        ResumeProcess(pid=7, started="1@boot"),
        StartProcess(pid_file="/x.pid", emptied=True),
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
