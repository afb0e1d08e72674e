"""Whatever goes wrong, `chaos run` says so: it ends non-zero, and names the reason."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.run.conftest import Chaos
from tests.stack.conftest import Stack

UNUSED_PORT = 9  # discard: nothing of ours ever listens there


class _Api(BaseHTTPRequestHandler):
    """A Toxiproxy API over the proxies in `server.proxies`, which it changes on paper only."""

    server: "_FakeToxiproxy"

    def do_GET(self) -> None:
        if self.path == "/proxies":
            self._answer(200, self.server.proxies)
        elif self.path.count("/") == 2:
            self._answer(200, self.server.proxies[self.path.split("/")[2]])
        else:
            self._answer(200, self.server.proxies[self.path.split("/")[2]]["toxics"])

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.broken:
            self._answer(500, {"error": "planted", "status": 500})
            return
        self.server.proxies[self.path.split("/")[2]]["toxics"].append(body)
        self._answer(200, body)

    def do_DELETE(self) -> None:
        toxics = self.server.proxies[self.path.split("/")[2]]["toxics"]
        toxics[:] = [toxic for toxic in toxics if toxic["name"] != self.path.split("/")[4]]
        self.send_response(204)
        self.end_headers()

    def _answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base names it so
        """Say nothing."""


class _FakeToxiproxy(ThreadingHTTPServer):
    daemon_threads = True
    broken: bool
    proxies: dict[str, dict[str, Any]]


@contextmanager
def fake_toxiproxy(stack: Stack, *, broken: bool) -> Iterator[str]:
    """The address of an API that does nothing, or answers 500 to every change."""
    server = _FakeToxiproxy(("127.0.0.1", 0), _Api)
    server.broken = broken
    server.proxies = {
        name: {
            "name": name,
            "listen": f"127.0.0.1:{port}",
            "upstream": "127.0.0.1:1",
            "enabled": True,
            "toxics": [],
        }
        for name, port in (
            ("redis", stack.ports.redis_proxy),
            ("postgres", stack.ports.postgres_proxy),
        )
    }
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_injector_that_does_nothing(chaos: Chaos) -> None:
    with fake_toxiproxy(chaos.stack, broken=False) as url:
        ended = chaos.run("redis-timeout.yaml", target=chaos.target | {"toxiproxy": {"url": url}})
    assert ended.exit_code == 1
    assert ended.verdict["status"] == "failed"
    assert "shows nothing of it" in " ".join(ended.verdict["reasons"])
    assert not any(fault["verified"] for fault in ended.verdict["faults"])


def test_toxiproxy_answers_500(chaos: Chaos) -> None:
    with fake_toxiproxy(chaos.stack, broken=True) as url:
        ended = chaos.run("redis-timeout.yaml", target=chaos.target | {"toxiproxy": {"url": url}})
    assert ended.exit_code == 1
    assert ended.verdict["status"] == "failed"
    assert "HTTP 500" in " ".join(ended.verdict["reasons"])


def test_toxiproxy_is_down(chaos: Chaos) -> None:
    target = chaos.target | {"toxiproxy": {"url": f"http://127.0.0.1:{UNUSED_PORT}"}}
    ended = chaos.run("redis-timeout.yaml", target=target)
    assert ended.exit_code == 1
    assert "does not answer" in " ".join(ended.verdict["reasons"])


def test_an_action_raises(chaos: Chaos) -> None:
    ended = chaos.run("redis-timeout.yaml", outage_s=100_000)
    assert ended.exit_code == 1
    assert ended.verdict["status"] == "failed"
    assert "longest_fault_s" in " ".join(ended.verdict["reasons"])
    # The method ended there: the load did not go on as if nothing had happened.
    assert [phase["name"] for phase in ended.verdict["phases"]] == ["baseline"]


def test_the_baseline_is_already_broken(chaos: Chaos) -> None:
    target = chaos.target
    target["webhook"]["url"] = f"http://127.0.0.1:{UNUSED_PORT}/webhooks/whatsapp"
    ended = chaos.run("redis-timeout.yaml", target=target)
    assert ended.exit_code == 1
    assert ended.verdict["status"] == "failed"
    assert ended.verdict["band"] == "critical"
    assert ended.verdict["faults"] == []
    assert ended.measured("error_ratio", "baseline")["value"] == 1.0
    assert "(first: 'webhooks are acknowledged')" in " ".join(ended.verdict["reasons"])


def test_too_few_samples_prove_nothing(chaos: Chaos) -> None:
    ended = chaos.run("redis-timeout.yaml", outage_s=1, recovery_s=1, samples_min=1_000_000)
    assert ended.exit_code == 1
    assert ended.verdict["band"] == "unknown"


def test_postgres_cannot_be_asked_for_the_ledger(chaos: Chaos) -> None:
    target = chaos.target
    target["postgres"]["port"] = UNUSED_PORT
    ended = chaos.run("redis-timeout.yaml", target=target)
    assert ended.exit_code == 1
    assert "cannot be asked for the ledger" in " ".join(ended.verdict["reasons"])
    assert ended.verdict["ledger"] is None


def test_a_ledger_query_that_shows_nothing_of_the_run(chaos: Chaos) -> None:
    target = chaos.target
    target["ledger"]["query"] = (
        "SELECT 'ord-' || message_id, count(*) FROM order_effects"
        " WHERE message_id >= %(first)s AND message_id <= %(last)s GROUP BY message_id"
    )
    ended = chaos.run("redis-timeout.yaml", target=target, drain_s=1)
    assert ended.exit_code == 1
    assert ended.verdict["status"] == "failed"
    assert ended.verdict["faults"] == []
    assert ended.verdict["ledger"] is None
    reasons = " ".join(ended.verdict["reasons"])
    assert "the ledger query shows none of" in reasons
    assert "an id of this run in another form" in reasons


def test_what_is_lost_in_the_baseline_is_listed_like_any_other_loss(chaos: Chaos) -> None:
    target = chaos.target
    target["ledger"]["query"] = (
        "SELECT message_id, count(*) FROM order_effects"
        " WHERE message_id >= %(first)s AND message_id <= %(last)s"
        " AND message_id::text NOT LIKE '%%3' GROUP BY message_id"
    )
    ended = chaos.run("redis-timeout.yaml", target=target, drain_s=1)
    assert ended.exit_code == 1
    assert ended.verdict["faults"] == []
    ledger = ended.verdict["ledger"]
    assert ledger["lost"] == len(ledger["lost_ids"]) > 0
    assert ledger["whole_run"] is False


def test_a_misspelt_probe_argument(chaos: Chaos) -> None:
    experiment = chaos.experiment("redis-timeout.yaml")
    experiment["steady-state-hypothesis"]["probes"][0]["provider"]["arguments"] = {
        "phase": "outage"
    }
    ended = chaos.run(experiment)
    assert ended.exit_code == 1
    assert "phase" in ended.said


def test_a_misspelt_threshold(chaos: Chaos) -> None:
    experiment = chaos.experiment("redis-timeout.yaml")
    tolerance = experiment["steady-state-hypothesis"]["probes"][0]["tolerance"]
    tolerance["provider"]["arguments"] = {"excelent": 0}
    ended = chaos.run(experiment)
    assert ended.exit_code == 1


def test_a_proxy_outside_the_blast_radius(chaos: Chaos) -> None:
    target = chaos.target
    target["blast_radius"]["proxies"] = ["postgres"]
    ended = chaos.run("redis-timeout.yaml", target=target)
    assert ended.exit_code == 1
    assert "blast_radius.proxies" in ended.said
