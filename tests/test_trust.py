"""Files that others may have written give them no power over processes and folders of ours."""

import json
import os
import pwd
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from perfchaos import processes
from perfchaos.errors import PerfchaosError
from perfchaos.faults.container_start import _names_data
from perfchaos.faults.controlled import Controlled
from perfchaos.faults.witness import Route
from perfchaos.launches import Launch, launch_file, learn_launch
from tests.lab import Lab

SLEEP = ("/bin/sleep", "60")
WAITING = ("/bin/sh", "-c", "echo ready; read line")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFCHAOS_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def server() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(WAITING, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


@pytest.fixture
def nobody() -> int:
    return pwd.getpwnam("nobody").pw_uid


def written(path: Path, text: str, *, owner: int | None = None, mode: int = 0o644) -> Path:
    path.write_text(text)
    path.chmod(mode)
    if owner is not None:
        os.chown(path, owner, -1)
    return path


def record(pid_file: Path) -> Path:
    launch = Launch(argv=("/bin/sh", "-c", "touch ran"), cwd=str(pid_file.parent), log="/dev/null")
    return written(
        pid_file.with_suffix(".json"),
        json.dumps({"argv": launch.argv, "cwd": launch.cwd, "log": launch.log}),
        mode=0o600,
    )


def test_a_record_beside_the_pid_file_is_believed_where_it_is_ours(tmp_path: Path) -> None:
    assert launch_file(tmp_path / "a.pid") != record(tmp_path / "b.pid")
    assert launch_file(tmp_path / "b.pid") == tmp_path / "b.json"


@pytest.mark.parametrize("why", ["writable by all", "writable by a group", "a link", "open folder"])
def test_a_record_that_others_could_have_written_is_not_believed(tmp_path: Path, why: str) -> None:
    pid_file = tmp_path / "server.pid"
    beside = record(pid_file)
    match why:
        case "writable by all":
            beside.chmod(0o646)
        case "writable by a group":
            beside.chmod(0o664)
        case "a link":
            beside.symlink_to(beside.rename(tmp_path / "other.json"))
        case _:
            tmp_path.chmod(0o777)
    with pytest.raises(PerfchaosError, match="nothing says how to start"):
        processes.start_again(pid_file)
    assert not (tmp_path / "ran").exists()


@as_root
@pytest.mark.parametrize("whose", ["record", "folder"])
def test_somebody_elses_record_is_not_believed(tmp_path: Path, nobody: int, whose: str) -> None:
    pid_file = tmp_path / "server.pid"
    os.chown(record(pid_file) if whose == "record" else tmp_path, nobody, -1)
    if whose == "folder":
        record(pid_file)
    with pytest.raises(PerfchaosError, match="nothing says how to start"):
        processes.start_again(pid_file)


def test_the_record_of_a_server_is_learned_though_one_of_others_lies_beside_it(
    tmp_path: Path, server: subprocess.Popen[bytes]
) -> None:
    pid_file = written(tmp_path / "server.pid", f"{server.pid}\n")
    record(pid_file).chmod(0o666)
    learn_launch(pid_file, server.pid)
    assert Launch.read(pid_file).argv == WAITING


@as_root
@pytest.mark.parametrize("by", ["file", "link"])
def test_a_pid_file_of_somebody_else_has_no_power_over_our_process(
    tmp_path: Path, server: subprocess.Popen[bytes], nobody: int, by: str
) -> None:
    pid_file = written(tmp_path / "server.pid", f"{server.pid}\n")
    if by == "file":
        os.chown(pid_file, nobody, -1)
    else:
        link = tmp_path / "link.pid"
        link.symlink_to(pid_file)
        os.chown(link, nobody, -1, follow_symlinks=False)
        pid_file = link
    with pytest.raises(PerfchaosError, match="not of the user"):
        processes.kill(pid_file)
    assert server.poll() is None


@as_root
def test_a_pid_file_of_the_servers_own_user_is_believed(tmp_path: Path, nobody: int) -> None:
    with subprocess.Popen(SLEEP, user=nobody, cwd="/") as theirs:
        pid_file = written(tmp_path / "server.pid", f"{theirs.pid}\n", owner=nobody)
        found = processes.running(pid_file)
        assert found is not None
        assert found.pid == theirs.pid
        theirs.kill()


@pytest.mark.parametrize("which", ["itself", "parent", "init"])
def test_neither_perfchaos_nor_what_it_descends_from_is_controlled(
    tmp_path: Path, which: str
) -> None:
    pid = {"itself": os.getpid(), "parent": os.getppid(), "init": 1}[which]
    pid_file = written(tmp_path / "server.pid", f"{pid}\n")
    with pytest.raises(PerfchaosError, match="is not believed"):
        processes.pause(pid_file)


@pytest.mark.parametrize("text", ["-1", "0", "\u00b2", "9" * 5000, "99999999", "", "redis", "\x00"])
def test_what_is_no_pid_of_a_process_is_nobodys(tmp_path: Path, text: str) -> None:
    assert processes.running(written(tmp_path / "server.pid", f"{text}\n")) is None


def test_a_pid_file_must_be_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pid")
    for place in (tmp_path, tmp_path / "pipe.pid"):
        with pytest.raises(PerfchaosError, match="it is no file"):
            processes.running(place)


@pytest.mark.parametrize("where", ["not beside", "root", "through a link", "upwards"])
def test_no_folder_is_emptied_but_the_servers_own(tmp_path: Path, where: str) -> None:
    precious = tmp_path / "precious"
    place = tmp_path / "server"
    for folder in (precious, place):
        folder.mkdir(mode=0o700)
        (folder / "kept").touch()
    (place / "data").symlink_to(precious)
    pid_file = place / "server.pid"
    data_dir = {
        "not beside": precious,
        "root": Path("/"),
        "through a link": place / "data",
        "upwards": place / ".." / "precious",
    }[where]
    written(
        pid_file.with_suffix(".json"),
        json.dumps({"argv": SLEEP, "cwd": "/", "log": "/dev/null", "data_dir": str(data_dir)}),
        mode=0o600,
    )
    with pytest.raises(PerfchaosError, match="are not deleted"):
        processes.start_again(pid_file, emptied=True)
    assert (precious / "kept").exists()
    assert processes.running(pid_file) is None


def test_data_are_not_deleted_for_a_server_that_cannot_be_started(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "kept").touch()
    pid_file = tmp_path / "server.pid"
    record = {"argv": ["/no/such"], "cwd": "/", "log": "/dev/null", "data_dir": f"{tmp_path}/data"}
    written(pid_file.with_suffix(".json"), json.dumps(record), mode=0o600)
    with pytest.raises(PerfchaosError, match="no program"):
        processes.start_again(pid_file, emptied=True)
    assert (tmp_path / "data" / "kept").exists()


def test_only_the_process_that_listens_where_the_target_says_is_the_server(
    lab: Lab, tmp_path: Path, server: subprocess.Popen[bytes]
) -> None:
    assert lab.controlled.server().alive()
    elsewhere = replace(
        lab.controlled, route=Route(protocol="redis", host="127.0.0.1", port=lab.proxy_port)
    )
    another = Controlled(
        dependency="redis",
        pid_file=str(written(tmp_path / "other.pid", f"{server.pid}\n")),
        route=lab.controlled.route,
    )
    for wrong in (elsewhere, another):
        with pytest.raises(PerfchaosError, match="does not listen on port"):
            wrong.server()


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        ("/data", True),
        ("/var/lib/postgresql/data", True),
        ("/", False),
        ("//", False),
        ("/.", False),
        ("/data/..", False),
        ("data", False),
        ("", False),
        ("/etc", False),
        ("/var", False),
        ("/var/lib", False),
        ("/usr/lib", False),
    ],
)
def test_a_label_names_one_folder_of_data(folder: str, names: bool) -> None:
    assert _names_data(folder) is names
