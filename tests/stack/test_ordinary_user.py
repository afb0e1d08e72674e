"""
The same tests once more as an ordinary user, where this is root.

That user can read neither root's Python nor root's clone. So he gets copies where he can: of the
interpreter's installation, of the installed packages, and of the project.
"""

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from perfchaos.stack.toxiproxy_program import find_toxiproxy

PROJECT = Path(__file__).parents[2]
PARTS = ("perfchaos", "tests", "toxiproxy", "pyproject.toml")
TESTS = "everything_is_up or killed_postgres or no_secret or down_leaves"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="this is an ordinary user already")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may enter; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory(prefix="perfchaos-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def copy(source: Path, destination: Path) -> Path:
    """A copy without copying, where the file system lets several names have one file."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    linked = subprocess.run(["cp", "-al", source, destination], capture_output=True, check=False)
    if linked.returncode != 0:
        shutil.rmtree(destination, ignore_errors=True)
        subprocess.run(["cp", "-a", source, destination], check=True)
    return destination


def test_the_stack_works_as_an_ordinary_user(place: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    python = Path(sys.executable).resolve()
    if Path(sys.base_prefix) != Path("/usr"):
        copy(Path(sys.base_prefix), place / "python")
        python = place / "python" / python.relative_to(Path(sys.base_prefix).resolve())
    packages = copy(Path(sysconfig.get_path("purelib")), place / "packages")
    for part in PARTS:
        copy(PROJECT / part, place / "project" / part)
    home = place / "home"
    built = home / ".cache" / "perfchaos" / "toxiproxy" / "v2.12.0" / "toxiproxy-server"
    built.parent.mkdir(parents=True)
    shutil.copy(find_toxiproxy(print), built)
    subprocess.run(["chown", "-R", f"{nobody.pw_uid}:{nobody.pw_gid}", home], check=True)
    done = subprocess.run(
        [
            *(python, "-m", "pytest", "-p", "no:cacheprovider", "--basetemp", home / "tmp"),
            *("tests/stack", "-k", TESTS),
        ],
        cwd=place / "project",
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        env={
            "HOME": str(home),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LD_LIBRARY_PATH": str(place / "python" / "lib"),
            "PYTHONPATH": f"{place / 'project'}{os.pathsep}{packages}",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
