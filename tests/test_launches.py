"""A server that somebody else started is started again as it was."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perfchaos import processes
from perfchaos.errors import PerfchaosError
from perfchaos.launches import Launch, launch_file, learn_launch

# A server that notes its pid by itself where it is given a file for it.
SERVER = """
import os, pathlib, signal, sys
if len(sys.argv) > 1:
    pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()}\\n/some/data\\n")
print("ready", flush=True)
signal.pause()
"""

type Foreign = Callable[..., int]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERFCHAOS_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def pid_file(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "server.pid"
    yield file
    processes.kill(file)


@pytest.fixture
def foreign(pid_file: Path) -> Iterator[Foreign]:
    """Starts a server as somebody else would; its pid."""
    started = []

    def start(*arguments: str, **environment: str) -> int:
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER, *arguments],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
        )
        started.append(server)
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        if not arguments:
            pid_file.write_text(f"{server.pid}\n")
        return server.pid

    yield start
    for server in started:
        server.kill()
        server.communicate()


def command_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("notes_its_pid", [True, False])
def test_it_is_started_as_it_was_and_its_pid_file_speaks_of_it(
    foreign: Foreign, pid_file: Path, notes_its_pid: bool
) -> None:
    pid = foreign(*([str(pid_file)] if notes_its_pid else []))
    before = command_of(pid)
    learn_launch(pid_file, pid)
    processes.kill(pid_file)
    again = processes.start_again(pid_file)
    assert again.pid != pid
    assert command_of(again.pid)[1:] == before[1:]
    # What the server itself writes there is left alone.
    kept = ["/some/data"] if notes_its_pid else []
    assert pid_file.read_text().splitlines() == [str(again.pid), *kept]
    assert processes.start_again(pid_file) == again


def test_nothing_is_written_beside_its_pid_file_and_no_secret_anywhere(
    foreign: Foreign, pid_file: Path, state: Path
) -> None:
    pid = foreign(PGPASSWORD="hush", API_KEY="hush", LC_ALL="C.UTF-8")
    learn_launch(pid_file, pid)
    assert [path.name for path in pid_file.parent.iterdir() if path != state] == [pid_file.name]
    record = launch_file(pid_file)
    assert record.is_relative_to(state)
    assert record.stat().st_mode & 0o077 == 0
    assert "hush" not in record.read_text()
    assert json.loads(record.read_text())["environment"]["LC_ALL"] == "C.UTF-8"


def test_a_start_command_may_start_it_and_end(foreign: Foreign, pid_file: Path) -> None:
    pid = foreign(str(pid_file))
    script = 'setsid "$0" -c "$1" "$2" >/dev/null 2>&1 &'
    learn_launch(pid_file, pid, ("/bin/sh", "-c", script, sys.executable, SERVER, str(pid_file)))
    processes.kill(pid_file)
    again = processes.start_again(pid_file)
    assert again.pid != pid
    assert again.alive()


def test_a_start_command_that_fails_is_told_with_its_log(foreign: Foreign, pid_file: Path) -> None:
    learn_launch(pid_file, foreign(), ("/bin/sh", "-c", "echo no such cluster; exit 2"))
    processes.kill(pid_file)
    with pytest.raises(PerfchaosError, match="ended as soon as it was started"):
        processes.start_again(pid_file)
    assert Path(Launch.read(pid_file).log).read_text() == "no such cluster\n"


def test_a_start_command_that_is_not_there_is_told_before_anything_is_done(
    foreign: Foreign, pid_file: Path
) -> None:
    pid = foreign()
    with pytest.raises(PerfchaosError, match="no program /nowhere/pg_ctl"):
        learn_launch(pid_file, pid, ("/nowhere/pg_ctl", "start"))


def test_only_what_redis_keeps_its_data_in_is_deleted_and_only_if_allowed(
    foreign: Foreign, pid_file: Path, tmp_path: Path
) -> None:
    pid = foreign()
    folder = tmp_path / "data"
    (folder / "appendonlydir").mkdir(parents=True)
    for name in ("dump.rdb", "appendonlydir/appendonly.aof.1.base.rdb", "redis.conf", "thesis"):
        (folder / name).write_text("")
    learn_launch(pid_file, pid)
    processes.kill(pid_file)
    with pytest.raises(PerfchaosError, match="must not be deleted"):
        processes.start_again(pid_file, emptied=True)
    learn_launch(pid_file, processes.start_again(pid_file).pid, data_dir=str(folder))
    processes.kill(pid_file)
    processes.start_again(pid_file, emptied=True)
    assert sorted(path.name for path in folder.iterdir()) == ["redis.conf", "thesis"]


def test_a_server_that_hides_its_arguments_needs_a_start_command(pid_file: Path) -> None:
    shown = ["redis-server *:6379", "-c", SERVER]
    with subprocess.Popen(shown, executable=sys.executable, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        pid_file.write_text(f"{server.pid}\n")
        with pytest.raises(PerfchaosError, match="'start', the command that starts it"):
            learn_launch(pid_file, server.pid)
        server.kill()
