"""Whatever goes wrong, `chaos run` says so: it ends non-zero, and names the reason."""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.run.conftest import TIMEOUT_S, Chaos
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
            "upstream": f"127.0.0.1:{upstream}",
            "enabled": True,
            "toxics": [],
        }
        for name, port, upstream in (
            ("redis", stack.ports.redis_proxy, stack.ports.redis),
            ("postgres", stack.ports.postgres_proxy, stack.ports.postgres),
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
    assert ended.verdict["phases"] == []  # It was known before anything started.


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
    upstream = f"127.0.0.1:{target['postgres']['port']}"
    target["postgres"] |= {"port": UNUSED_PORT, "upstream": upstream}
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


def _with_probe(chaos: Chaos, tolerance: Any, provider: dict[str, Any]) -> dict[str, Any]:
    experiment = chaos.experiment("redis-timeout.yaml")
    probe = {"name": "mine", "type": "probe", "tolerance": tolerance, "provider": provider}
    experiment["steady-state-hypothesis"]["probes"].append(probe)
    return experiment


def test_a_probe_of_somebody_else_that_deviates_after_the_method(
    chaos: Chaos, tmp_path: Path
) -> None:
    witness = tmp_path / "there"
    witness.touch()
    provider = {"type": "python", "module": "os.path", "func": "exists"}
    experiment = _with_probe(chaos, True, provider | {"arguments": {"path": str(witness)}})
    gone = {"type": "process", "path": "rm", "arguments": ["-f", str(witness)]}
    experiment["method"].append({"name": "remove it", "type": "action", "provider": gone})
    ended = chaos.run(experiment)
    assert ended.exit_code == 1
    assert (ended.verdict["status"], ended.verdict["band"]) == ("completed", "critical")
    assert ended.verdict["deviated"] == ["the probe 'mine' deviated after the method"]


def test_two_probes_judge_the_same_measurement_each_by_its_own_limits(chaos: Chaos) -> None:
    experiment = chaos.experiment("redis-timeout.yaml")
    limits = {"type": "python", "module": "probes.band", "func": "at_most"}
    for name, limit in (("strict", 0.001), ("lenient", 60_000)):
        tolerance = {"type": "probe", "name": name}
        experiment["steady-state-hypothesis"]["probes"].append(
            {
                "name": name,
                "type": "probe",
                "tolerance": tolerance | {"provider": limits | {"arguments": {"good": limit}}},
                "provider": {"type": "python", "module": "probes.webhook", "func": "latency_p99"},
            }
        )
    experiment["runtime"]["hypothesis"] = {"strategy": "after-method-only"}
    ended = chaos.run(experiment)
    assert (ended.exit_code, ended.verdict["band"]) == (1, "critical")
    bands = {m["probe"]: m["band"] for m in ended.verdict["measurements"] if m["phase"] == "outage"}
    assert (bands["strict"], bands["lenient"]) == ("critical", "good")


def test_an_outage_that_nothing_was_asked_about(chaos: Chaos) -> None:
    experiment = chaos.experiment("redis-timeout.yaml")
    experiment["runtime"]["hypothesis"] = {"strategy": "before-method-only"}
    ended = chaos.run(experiment)
    assert (ended.exit_code, ended.verdict["band"]) == (1, "unknown")
    assert "outage, recovery" in " ".join(ended.verdict["reasons"])


def test_a_rollback_that_fails_keeps_none_from_being_played(chaos: Chaos, tmp_path: Path) -> None:
    experiment = chaos.experiment("redis-timeout.yaml")
    touches = {"type": "process", "path": "touch", "arguments": [str(tmp_path / "played")]}
    missing = {"type": "python", "module": "os", "func": "remove"}
    experiment["rollbacks"] = [
        {"name": "fails", "type": "action", "provider": missing | {"arguments": {"path": "/no"}}},
        {"name": "played", "type": "action", "provider": touches},
    ]
    ended = chaos.run(experiment)
    assert (tmp_path / "played").exists()
    assert (ended.exit_code, ended.verdict["status"]) == (1, "failed")
    assert "the action 'fails' failed" in " ".join(ended.verdict["reasons"])


def test_the_control_named_twice_is_one_run(chaos: Chaos) -> None:
    experiment = chaos.experiment("redis-timeout.yaml")
    experiment["controls"].append(experiment["controls"][0] | {"name": "again"})
    ended = chaos.run(experiment)
    assert (ended.exit_code, ended.verdict["exit_code"]) == (0, 0), ended.said


def test_a_report_that_cannot_be_written_is_said_and_changes_no_verdict(chaos: Chaos) -> None:
    experiment = chaos.experiment("redis-timeout.yaml")
    # In the place of the report there is a folder.
    blocked = "import pathlib; pathlib.Path('runs/latest/report.html').mkdir()"
    provider = {"type": "process", "path": sys.executable, "arguments": ["-c", blocked]}
    experiment["method"].append({"name": "in the way", "type": "action", "provider": provider})
    ended = chaos.run(experiment)
    assert (ended.exit_code, ended.verdict["exit_code"]) == (0, 0), ended.said
    assert "The report of the run could not be written" in ended.said


def test_a_terminal_that_goes_away_changes_no_verdict(chaos: Chaos) -> None:
    with chaos.start("redis-timeout.yaml") as process:
        assert process.stdout is not None
        process.stdout.close()
        process.wait(TIMEOUT_S)
    directory = chaos.folder / "runs" / "latest"
    verdict = json.loads((directory / "verdict.json").read_text())
    assert (process.returncode, verdict["status"], verdict["exit_code"]) == (0, "completed", 0)
    assert (directory / "journal.json").exists()
