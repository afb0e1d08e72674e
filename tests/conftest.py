"""What tests of several rooms share."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.lab import Lab, open_lab

# How fast inputs come depends on what else the machine does; what is asserted of them does not.
hypothesis.settings.register_profile(
    "shared machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared machine")

# What the tests' servers write goes to memory where there is room for it: a disk that others sync
# stalls them for seconds, and all that is asserted here holds on either.
MEMORY = Path("/dev/shm")
ROOM_BYTES = 4_000_000_000
if (
    os.access(MEMORY, os.W_OK)
    and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    and shutil.disk_usage(MEMORY).free > ROOM_BYTES
):
    tempfile.tempdir = str(MEMORY)

# A shell ignores these for what it runs in the background, or nohup does, and every process that
# we start would too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def standing_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One laboratory for all tests; use `lab`."""
    with open_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def lab(standing_lab: Lab) -> Iterator[Lab]:
    """A laboratory in which nothing is harmed, before the test and after it."""
    yield standing_lab
    standing_lab.make_whole()


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of the test's own."""
    folder = tmp_path / "state"
    monkeypatch.setenv("PERFCHAOS_STATE_DIR", str(folder))
    return folder
