"""Real processes: shells and sleeps."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from perfchaos import process_table, processes
from perfchaos.errors import PerfchaosError
from perfchaos.launches import Launch
from perfchaos.processes import Process

SLEEP = ("/bin/sleep", "60")


@pytest.fixture
def pid_file(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "server.pid"
    yield file
    processes.kill(file)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is nobody's server."""
    with subprocess.Popen(SLEEP) as process:
        yield process
        process.kill()


def launch(pid_file: Path, *argv: str, **fields: object) -> Launch:
    folder = pid_file.parent
    record = {"environment": {"PATH": os.environ["PATH"]}, "log": str(folder / "log")} | fields
    return Launch(argv=argv or SLEEP, cwd=str(folder), **record)  # type: ignore[arg-type]


def shell(pid_file: Path, script: str, **fields: object) -> Process:
    return processes.start(launch(pid_file, "/bin/sh", "-c", script, **fields), pid_file)


def eventually(holds: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + 10
    while not holds():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.005)
    return True


def test_a_started_server_is_found_by_its_pid_file(pid_file: Path) -> None:
    started = processes.start(launch(pid_file), pid_file)
    assert processes.running(pid_file) == started
    assert int(pid_file.read_text().splitlines()[0]) == started.pid


def test_a_server_is_nobodys_child_and_in_a_session_of_its_own(pid_file: Path) -> None:
    started = processes.start(launch(pid_file), pid_file)
    entry = process_table.look_up(started.pid)
    assert entry is not None
    assert entry.parent != os.getpid()
    assert os.getsid(started.pid) != os.getsid(0)


def test_without_a_pid_file_nothing_runs(pid_file: Path) -> None:
    assert processes.running(pid_file) is None


@pytest.mark.parametrize("text", ["garbage\n", "0\n", "-5\n", "99999999\n"])
def test_a_pid_file_that_names_no_process_is_stale(pid_file: Path, text: str) -> None:
    pid_file.write_text(text)
    assert processes.running(pid_file) is None


def test_a_recycled_pid_is_never_signalled(
    pid_file: Path, stranger: subprocess.Popen[bytes]
) -> None:
    pid_file.write_text(f"{stranger.pid}\nstarted long ago\n")
    processes.stop(pid_file)
    processes.kill(pid_file)
    assert stranger.poll() is None
    with pytest.raises(PerfchaosError, match="no process"):
        processes.pause(pid_file)


def test_a_bare_pid_is_believed_of_a_process_older_than_the_file(
    pid_file: Path, stranger: subprocess.Popen[bytes]
) -> None:
    pid_file.write_text(f"{stranger.pid}\n")
    found = processes.running(pid_file)
    assert found is not None
    assert found.pid == stranger.pid


def test_a_bare_pid_is_not_believed_of_a_process_younger_than_the_file(
    pid_file: Path, stranger: subprocess.Popen[bytes]
) -> None:
    pid_file.write_text(f"{stranger.pid}\n")
    long_ago_s = time.time() - 3600
    os.utime(pid_file, (long_ago_s, long_ago_s))
    assert processes.running(pid_file) is None


def test_a_zombie_has_ended(pid_file: Path) -> None:
    with subprocess.Popen(["/bin/true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        pid_file.write_text(f"{child.pid}\n")
        assert processes.running(pid_file) is None


@pytest.mark.parametrize("end", [processes.stop, processes.kill])
def test_an_ended_server_leaves_no_zombie(pid_file: Path, end: Callable[[Path], None]) -> None:
    started = processes.start(launch(pid_file), pid_file)
    end(pid_file)
    assert not process_table.pid_exists(started.pid)


def test_stop_sends_the_signal_that_the_server_wants(pid_file: Path) -> None:
    told = pid_file.with_name("told")
    shell(
        pid_file,
        f"trap 'echo INT > {told}; exit' USR1; echo > {told}; while :; do sleep 0.01; done",
        stop_signal="SIGUSR1",
    )
    assert eventually(told.exists)
    processes.stop(pid_file)
    assert told.read_text() == "INT\n"
    assert processes.running(pid_file) is None


def test_stop_wakes_a_paused_server(pid_file: Path) -> None:
    processes.start(launch(pid_file), pid_file)
    processes.pause(pid_file)
    processes.stop(pid_file)
    assert processes.running(pid_file) is None


def test_stop_says_so_if_the_server_does_not_end(pid_file: Path) -> None:
    ready = pid_file.with_name("ready")
    shell(pid_file, f"trap '' TERM; echo > {ready}; while :; do sleep 0.01; done")
    assert eventually(ready.exists)
    with pytest.raises(PerfchaosError, match="did not stop within"):
        processes.stop(pid_file, timeout_s=0.1)
    assert processes.running(pid_file) is not None


def test_stop_of_what_has_ended_does_nothing(pid_file: Path) -> None:
    processes.start(launch(pid_file), pid_file)
    processes.kill(pid_file)
    processes.stop(pid_file)


def family_of_two(pid_file: Path) -> tuple[Process, Process]:
    """A server with a child in another session, as Postgres has them."""
    parent = shell(pid_file, "setsid sleep 60 & wait")
    assert eventually(lambda: len(parent.family()) == 2)
    return parent, parent.family()[1]


def test_kill_takes_the_children_too(pid_file: Path) -> None:
    parent, child = family_of_two(pid_file)
    processes.kill(pid_file)
    assert not parent.alive()
    assert not child.alive()


def test_pause_and_resume_reach_the_children_too(pid_file: Path) -> None:
    family = family_of_two(pid_file)
    processes.pause(pid_file)
    assert all(member.paused() for member in family)
    processes.resume(pid_file)
    assert eventually(lambda: not any(member.paused() for member in family))
    assert all(member.alive() for member in family)


def test_a_killed_server_is_started_again_as_before(pid_file: Path) -> None:
    before = processes.start(launch(pid_file, "/bin/sleep", "61"), pid_file)
    processes.kill(pid_file)
    again = processes.start_again(pid_file)
    assert again.pid != before.pid
    assert processes.running(pid_file) == again
    command = Path(f"/proc/{again.pid}/cmdline")
    assert not command.exists() or eventually(lambda: b"61" in command.read_bytes())


def test_a_running_server_is_not_started_twice(pid_file: Path) -> None:
    started = processes.start(launch(pid_file), pid_file)
    assert processes.start_again(pid_file) == started


def test_of_many_that_start_a_server_at_once_one_does(pid_file: Path) -> None:
    processes.start(launch(pid_file), pid_file)
    processes.kill(pid_file)
    with ThreadPoolExecutor(4) as pool:
        started = set(pool.map(lambda _: processes.start_again(pid_file), range(4)))
    assert started == {processes.running(pid_file)}


@pytest.mark.parametrize("emptied", [True, False])
def test_a_server_comes_back_emptied_only_if_asked(pid_file: Path, emptied: bool) -> None:
    data_dir = pid_file.with_name("data")
    data_dir.mkdir()
    (data_dir / "row").touch()
    processes.start(launch(pid_file, data_dir=str(data_dir)), pid_file)
    processes.kill(pid_file)
    processes.start_again(pid_file, emptied=emptied)
    assert (data_dir / "row").exists() is not emptied


def test_data_that_must_stay_cannot_be_emptied(pid_file: Path) -> None:
    processes.start(launch(pid_file), pid_file)
    processes.kill(pid_file)
    with pytest.raises(PerfchaosError, match="must not be deleted"):
        processes.start_again(pid_file, emptied=True)
    assert processes.running(pid_file) is None


def test_a_data_dir_elsewhere_is_not_deleted(pid_file: Path) -> None:
    with pytest.raises(PerfchaosError, match="beside its pid file"):
        launch(pid_file, data_dir=str(pid_file.parent.parent)).write(pid_file)


def test_a_server_without_a_launch_record_cannot_be_started(pid_file: Path) -> None:
    with pytest.raises(PerfchaosError, match="nothing says how to start"):
        processes.start_again(pid_file)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"argv": ["x"], "colour": "red"}', '{"cwd": "/", "log": "/x"}']
)
def test_a_launch_record_that_is_none_is_told(pid_file: Path, text: str) -> None:
    pid_file.with_suffix(".json").write_text(text)
    with pytest.raises(PerfchaosError, match="not a launch record"):
        processes.start_again(pid_file)


def test_a_launch_record_is_read_as_it_was_written(pid_file: Path) -> None:
    record = launch(pid_file, secrets={"A": "B"}, secrets_file="/x", stop_signal="SIGINT", uid=5)
    record.write(pid_file)
    assert Launch.read(pid_file) == record


def test_a_server_gets_its_secrets_by_its_environment_alone(pid_file: Path) -> None:
    secrets_file = pid_file.with_name("secrets.env")
    secrets_file.write_text("TOKEN=hush\n")
    told = pid_file.with_name("told")
    shell(
        pid_file,
        f'echo "$PASSWORD" > {told}.new; mv {told}.new {told}; sleep 60',
        secrets={"PASSWORD": "TOKEN"},
        secrets_file=str(secrets_file),
    )
    assert eventually(told.exists)
    assert told.read_text() == "hush\n"
    assert "hush" not in pid_file.with_suffix(".json").read_text()


def test_a_program_that_is_missing_is_named(pid_file: Path) -> None:
    with pytest.raises(PerfchaosError, match="/no/such/program"):
        processes.start(launch(pid_file, "/no/such/program"), pid_file)
    assert processes.running(pid_file) is None


def test_a_process_of_another_user_is_an_error_not_a_success() -> None:
    if os.geteuid() == 0:
        pytest.skip("root may signal everybody")
    entry = process_table.look_up(1)
    assert entry is not None
    with pytest.raises(PerfchaosError, match="belongs to another user"):
        Process(pid=1, started=entry.started).signal(signal.SIGTERM)
