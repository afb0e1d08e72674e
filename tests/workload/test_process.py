"""The workload process, as a run sees it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from perfchaos.errors import InvalidInput
from perfchaos.recording import Recording
from perfchaos.recording.ids import id_of
from perfchaos.workload.arrivals import Arrivals
from perfchaos.workload.plan import Plan, RequestTemplate, Signing
from perfchaos.workload.process import Workload, WorkloadError, start_workload
from tests.workload.conftest import OK, Behaviour, Server, read_request, replying

Serve = Callable[[Behaviour], Server]


def plan_for(url: str, rate_per_s: float = 200.0, **changes: object) -> Plan:
    fields: dict[str, object] = {"load": Arrivals.constant(rate_per_s), "seed": 7} | changes
    request = RequestTemplate(url=url, body='{"id": "{uuid}"}', timeout_s=1.0)
    return Plan(request=request, **fields)  # type: ignore[arg-type]


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.01)


def test_a_workload_is_ready_sends_until_stopped_and_reports(serve: Serve, tmp_path: Path) -> None:
    with start_workload(plan_for(serve(replying(OK)).url()), tmp_path) as workload:
        workload.wait_ready()
        recording = Recording.open(workload.recording_path)
        wait_until(lambda: len(recording.samples()) >= 50)
        tally = workload.stop()
        assert workload.stop() is tally
    assert tally is not None
    assert not workload.alive
    assert tally.in_flight_count == 0
    assert tally.planned_count == tally.acked_count == len(recording.samples())


def test_several_processes_record_exactly_one_plan(serve: Serve, tmp_path: Path) -> None:
    bodies: list[str] = []

    def behave(connection):  # type: ignore[no-untyped-def]
        while True:
            body = read_request(connection).partition(b"\r\n\r\n")[2]
            bodies.append(json.loads(body)["id"])
            connection.sendall(OK)

    plan = plan_for(serve(behave).url(), 500.0, processes=3, duration_s=0.4)
    with start_workload(plan, tmp_path) as workload:
        workload.wait_ready()
        tally = workload.wait(timeout_s=20.0)
    assert tally is not None
    assert tally.planned_count == tally.acked_count == 200
    samples = Recording.open(workload.recording_path).samples()
    assert sorted(samples["n"].tolist()) == list(range(200))
    assert {n: int(at) for n, at in zip(samples["n"], samples["intended_ns"], strict=True)} == {
        n: n * 2_000_000 for n in range(200)
    }
    assert sorted(bodies) == [id_of(7, n) for n in range(200)]


@pytest.mark.parametrize("processes", [1, 2])
def test_no_load_outlives_the_run(serve: Serve, tmp_path: Path, processes: int) -> None:
    """The run dies of SIGKILL: the pipe to the workload closes, and that ends it."""
    plan_path = tmp_path / "plan.json"
    plan_path.write_text(
        json.dumps(plan_for(serve(replying(OK)).url(), processes=processes).to_json())
    )
    program = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'perfchaos.workload', sys.argv[1]],"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)\n"
        "assert 'ready' in child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", program, str(plan_path)], stdout=subprocess.PIPE)
    with run:
        assert run.stdout is not None
        workload_pid = int(run.stdout.readline())
        run.kill()
    wait_until(lambda: not _sending(workload_pid))
    recording = Recording.open(tmp_path / "recording")
    assert recording.in_flight_count == 0


def _sending(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_ctrl_c_is_not_for_the_workload_and_sigterm_is(serve: Serve, tmp_path: Path) -> None:
    with start_workload(plan_for(serve(replying(OK)).url()), tmp_path) as workload:
        workload.wait_ready()
        os.kill(workload.pid, signal.SIGINT)
        wait_until(lambda: len(Recording.open(workload.recording_path).samples()) >= 20)
        assert workload.alive
        os.kill(workload.pid, signal.SIGTERM)
        tally = workload.wait(timeout_s=10.0)
    assert tally is not None
    assert tally.in_flight_count == 0


def test_stopping_waits_for_what_is_in_flight(serve: Serve, tmp_path: Path) -> None:
    def behave(connection):  # type: ignore[no-untyped-def]
        while True:
            read_request(connection)
            time.sleep(0.2)
            connection.sendall(OK)

    with start_workload(plan_for(serve(behave).url(), 50.0), tmp_path) as workload:
        workload.wait_ready()
        recording = Recording.open(workload.recording_path)
        wait_until(lambda: recording.in_flight_count >= 3)
        tally = workload.stop()
    assert tally is not None
    assert tally.acked_count == tally.planned_count


def test_a_workload_that_dies_has_no_report_and_what_it_wrote_stays(
    serve: Serve, tmp_path: Path
) -> None:
    with start_workload(plan_for(serve(replying()).url()), tmp_path) as workload:
        workload.wait_ready()
        recording = Recording.open(workload.recording_path)
        wait_until(lambda: recording.in_flight_count >= 10)
        os.kill(workload.pid, signal.SIGKILL)
        wait_until(lambda: not workload.alive)
        assert workload.stop() is None
    assert recording.in_flight_count >= 10


def test_a_dead_part_ends_the_whole(serve: Serve, tmp_path: Path) -> None:
    plan = plan_for(serve(replying(OK)).url(), processes=2)
    with start_workload(plan, tmp_path) as workload:
        workload.wait_ready()
        children = Path(f"/proc/{workload.pid}/task/{workload.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        assert workload.wait(timeout_s=20.0) is None
        assert not workload.alive
    assert workload.problem is not None
    assert "part " in workload.problem


def test_mistakes_in_the_plan_start_no_process(tmp_path: Path) -> None:
    plan = plan_for("nonsense", rate_per_s=-1.0)
    with pytest.raises(InvalidInput) as refused:
        start_workload(plan, tmp_path)
    assert len(refused.value.mistakes) == 2


def test_the_key_comes_through_the_environment_and_never_into_a_file(
    serve: Serve, tmp_path: Path
) -> None:
    seen: list[bytes] = []

    def behave(connection):  # type: ignore[no-untyped-def]
        while True:
            seen.append(read_request(connection))
            connection.sendall(OK)

    signing = Signing(header="X-Signature", secret_env="A_KEY_OF_THE_TEST")
    request = RequestTemplate(url=serve(behave).url(), body="{uuid}", signing=signing, timeout_s=1)
    plan = Plan(request=request, load=Arrivals.constant(100.0), seed=1, duration_s=0.1)
    environment = {**os.environ, "A_KEY_OF_THE_TEST": "very-secret-key"}
    with start_workload(plan, tmp_path, environment=environment) as workload:
        workload.wait_ready()
        assert workload.wait(timeout_s=10.0) is not None
    assert len(seen) == 10
    assert all(b"X-Signature: " in data for data in seen)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"very-secret-key" not in path.read_bytes()


def test_a_workload_that_cannot_start_says_why(tmp_path: Path) -> None:
    """The folder of the recording is taken by a file."""
    (tmp_path / "recording").write_text("in the way")
    with (
        start_workload(plan_for("http://127.0.0.1:9/"), tmp_path) as workload,
        pytest.raises(WorkloadError, match="workload"),
    ):
        workload.wait_ready()
    assert isinstance(workload, Workload)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"seed": 1}'])
def test_a_plan_file_that_is_none_is_refused_on_stdout(tmp_path: Path, content: str) -> None:
    (tmp_path / "plan.json").write_text(content)
    done = subprocess.run(
        [sys.executable, "-m", "perfchaos.workload", str(tmp_path / "plan.json")],
        check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 2
    message = json.loads(done.stdout)
    assert message["event"] == "failed"
    assert "plan" in message["problem"]
    assert done.stderr == ""


@pytest.mark.skipif(sys.platform == "darwin", reason="reserves room in another way")
def test_a_full_disk_ends_the_workload_and_keeps_what_was_recorded(
    tmp_path: Path, unused_port: int
) -> None:
    """A limit on the size of files stands for the disk; all requests but one are dropped."""
    plan = plan_for(f"http://127.0.0.1:{unused_port}/", 150_000.0, in_flight_max=1, duration_s=30.0)
    (tmp_path / "plan.json").write_text(json.dumps(plan.to_json()))
    command = f"ulimit -f 1500; exec {sys.executable} -m perfchaos.workload {tmp_path}/plan.json"
    process = subprocess.Popen(
        ["bash", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        assert process.stdout is not None
        events = [json.loads(line) for line in process.stdout]
    assert process.returncode == 1
    assert events[0]["event"] == "ready"
    assert events[-1]["event"] == "failed"
    assert "no room for the recording" in events[-1]["problem"]
    assert len(Recording.open(tmp_path / "recording").samples()) == 43_690
