"""`perfchaos load` and `perfchaos capacity`, as typed."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from perfchaos.cli import main
from tests.workload.conftest import OK, Behaviour, Server, replying

Serve = Callable[[Behaviour], Server]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_a_load_reports_what_came_of_it(serve: Serve) -> None:
    result = run("load", serve(replying(OK)).url(), "--rate", "100", "--duration", "500ms")
    assert result.exit_code in {0, 3}, result.output  # 3: this machine was too busy to generate
    assert "planned     50 = 50 acked" in result.stdout
    assert "HTTP 200 50" in result.stdout
    assert "open model" in result.stdout


def test_the_results_as_json_hold_every_number(serve: Serve) -> None:
    url = serve(replying(OK)).url()
    result = run("load", url, "--rate", "100", "--duration", "1s", "--json", "-d", "{uuid}")
    data = json.loads(result.stdout)
    assert data["model"] == "open"
    assert data["planned_count"] == data["acked_count"] == 100
    assert data["rate_per_s"] == 100.0
    assert data["classes"] == {"HTTP 200": 100}
    assert set(data["latency_ms"]) == {"p50", "p90", "p95", "p99", "p99_9", "max"}
    assert [second["planned_count"] for second in data["seconds"]] == [100]


def test_the_closed_model_is_named(serve: Serve) -> None:
    result = run("load", serve(replying(OK)).url(), "--closed", "2", "--duration", "200ms")
    assert result.exit_code == 0
    assert "closed model" in result.stdout


@pytest.mark.parametrize(("limit", "code"), [("errors<=0%", 0), ("rate>=1000", 1)])
def test_thresholds_decide_the_exit_code(serve: Serve, limit: str, code: int) -> None:
    url = serve(replying(OK)).url()
    result = run("load", url, "--rate", "50", "--duration", "300ms", "--threshold", limit)
    assert result.exit_code in {code, 3}, result.output
    assert limit in result.stdout


def test_a_load_of_which_nothing_was_acked_is_no_success(unused_port: int) -> None:
    result = run("load", f"http://127.0.0.1:{unused_port}/", "--rate", "50", "--duration", "300ms")
    assert result.exit_code in {1, 3}
    assert "connection refused 15" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("http://x/",), "--rate"),
        (("http://x/", "--rate", "5", "--closed", "5"), "--rate"),
        (("http://x/", "--rate", "-5"), "-5/s"),
        (("http://x/", "--rate", "1e9"), "200,000"),
        (("http://x/", "--rate", "nan"), "nan/s"),
        (("nonsense", "--rate", "5"), "is not http"),
        (("http://x/", "--rate", "5", "--threshold", "p99<5"), "threshold"),
        (("http://x/", "--rate", "5", "-H", "no colon"), "Name: value"),
        (("http://x/", "--rate", "5", "-d", "@/no/such/file"), "/no/such/file"),
        (("http://x/", "--rate", "5", "--sign", "X-Sig", "NO_SUCH_VARIABLE"), "NO_SUCH_VARIABLE"),
        (("http://x/", "--rate", "5", "--ack", "yes"), "--ack"),
        (("http://x/", "--stage", "10"), "30s:500"),
        (("http://x/", "--rate", "5", "--duration", "soon"), "duration"),
        (("http://x/", "--rate", "5", "--export", "x.xlsx"), ".parquet"),
        (("http://x/", "--rate", "5", "--processes", "0"), "processes"),
        (("http://x/", "--rate", "5", "--ca-file", "/no/such/file"), "/no/such/file"),
    ],
)
def test_input_that_makes_no_sense_is_refused_by_name(
    arguments: tuple[str, ...], words: str
) -> None:
    result = run("load", *arguments)
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output


def test_stages_make_a_line_of_ramps(serve: Serve) -> None:
    url = serve(replying(OK)).url()
    result = run("load", url, "--stage", "200ms:200", "--stage", "200ms:200", "--json")
    data = json.loads(result.stdout)
    assert data["planned_count"] == 60
    assert data["duration_s"] == pytest.approx(0.4)


def test_plan_and_recording_are_kept_and_exported(serve: Serve, tmp_path: Path) -> None:
    url, kept, table = serve(replying(OK)).url(), tmp_path / "kept", tmp_path / "all.csv"
    arguments = ("load", url, "--rate", "50", "--duration", "200ms")
    run(*arguments, "--keep", str(kept), "--export", str(table))
    assert (kept / "plan.json").exists()
    assert list((kept / "recording").iterdir())
    with table.open() as file:
        assert len(list(csv.DictReader(file))) == 10
    again = run(*arguments, "--keep", str(kept))
    assert again.exit_code == 2
    assert "not empty" in again.output


def test_sqlstates_that_replies_name_are_told(serve: Serve, tmp_path: Path) -> None:
    said = b'{"error": "away", "sqlstate": "57P01"}'
    reply = b"HTTP/1.1 503 Away\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said)
    table = tmp_path / "all.csv"
    arguments = ("--rate", "50", "--duration", "200ms", "--export", str(table))
    result = run("load", serve(replying(reply)).url(), *arguments)
    assert "reasons     sqlstate 57 operator intervention 10" in result.stdout
    with table.open() as file:
        assert {row["sqlstate_class"] for row in csv.DictReader(file)} == {"57"}


def test_ctrl_c_gives_the_results_so_far(serve: Serve) -> None:
    url = serve(replying(OK)).url()
    command = [sys.executable, "-c", "from perfchaos.cli import main; main()", "load", url]
    process = subprocess.Popen(
        [*command, "--rate", "100", "--duration", "60s"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        process.stderr.readline()  # the first line of progress
        os.kill(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "acked/s over" in output


def test_a_capacity_search_ends_with_a_rate_or_the_reason(serve: Serve) -> None:
    url = serve(replying(OK)).url()
    result = run("capacity", url, "--start", "20", "--max", "20", "--step", "1s", "--hold", "1s")
    assert result.exit_code == 0, result.output
    assert "/s held" in result.stdout


def test_a_capacity_search_that_makes_no_sense_is_refused() -> None:
    result = run("capacity", "http://x/", "--start", "0")
    assert result.exit_code == 2
    assert "rates must be" in result.output
