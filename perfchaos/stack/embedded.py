"""
The embedded stack: up, down, and how it stands.

Everything it keeps lies in one directory: pid files, launch records, logs, data, secrets, and the
target file. One command at a time works on it. What runs there is told from the pid files alone, so
that any crash, of the commands or of the servers, is understood by the next command.
"""

import json
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from perfchaos import processes
from perfchaos.errors import PerfchaosError
from perfchaos.launches import Launch, read_environment_file, write_private
from perfchaos.stack.home import Tell, alone, ensure_secrets, require_unused, stack_dir, undisturbed
from perfchaos.stack.ports import Ports, require_free
from perfchaos.stack.postgres_server import discard_postgres, postgres_server
from perfchaos.stack.redis_server import redis_server
from perfchaos.stack.reference_servers import apply_schema, service_server, worker_server
from perfchaos.stack.server import TAKEN_OVER, Server, log_file, secrets_file
from perfchaos.stack.target_file import write_target
from perfchaos.stack.toxiproxy_server import toxiproxy_server

_READY_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a stack was brought up with."""

    ports: Ports
    profile: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one server stands: `state` is running, paused, not answering or stopped."""

    name: str
    state: str
    pid: int | None
    port: int | None
    detail: str


def up(*, ports: Ports, profile: str | None, tell: Tell, used_by: str | None = None) -> list[str]:
    """
    Bring the reference system up, or complete it; returns the names of the servers it started.

    Servers that run as wanted are left alone, and under a run, `used_by`, all are. With `profile`
    None a running stack keeps its own and a new one is tuned. What this call started is taken down
    again if it does not get to its end. Raises PerfchaosError (a missing program, a taken port, a
    server that does not start, a run that would be disturbed).
    """
    with alone(tell) as home:
        survivors = _running(home)
        before = _settings(home) if survivors else None
        if before and before.ports != ports:
            raise PerfchaosError(
                "the stack is up on other ports", next_step="run 'perfchaos down' first"
            )
        if not survivors and not (home / "kept").exists():
            _wipe(home)
            shutil.rmtree(home / "logs", ignore_errors=True)
        wanted = Settings(ports=ports, profile=profile or (before.profile if before else "tuned"))
        try:
            return _bring_up(home, wanted, tell, used_by)
        except BaseException:
            with undisturbed():
                _stop_all([file for file in home.glob("*.pid") if file not in survivors])
                if not survivors and not (home / "kept").exists():
                    _wipe(home)
            raise


def down(*, keep_data: bool, tell: Tell) -> bool:
    """
    Take the stack down, whatever state it is in; False if there was nothing to take down.

    Its data go too, unless they are kept for the next `up`. Its logs stay until then.
    """
    with alone(tell) as home, undisturbed():
        running = _running(home)
        _stop_all(running)
        if keep_data:
            (home / "kept").touch()
        else:
            _wipe(home)
        return bool(running)


def look() -> list[Standing]:
    """How each server of the stack stands; nothing if there is no stack. Changes nothing."""
    home = stack_dir()
    settings = _settings(home)
    if settings is None or not secrets_file(home).exists():
        return []
    servers = _servers(home, settings, tell=lambda _: None)
    with ThreadPoolExecutor(max_workers=len(servers)) as pool:
        return list(pool.map(lambda server: _standing(home, settings, server), servers))


def _bring_up(home: Path, settings: Settings, tell: Tell, used_by: str | None) -> list[str]:
    ensure_secrets(home)
    (home / "logs").mkdir(exist_ok=True)
    *dependencies, service, worker = _servers(home, settings, tell)
    due = [server for server in (*dependencies, service, worker) if not _as_wanted(home, server)]
    if due:
        names = " and ".join(server.name for server in due)
        require_unused(used_by, f"{names} would be started")
    _stop_all([server.pid_file(home) for server in due])
    require_free(settings.ports, [port for server in due for port in server.listens])
    write_private(home / "stack.json", json.dumps(asdict(settings), indent=2) + "\n")
    _start([server for server in dependencies if server in due], home)
    _await(dependencies, home)
    if service in due or worker in due:
        apply_schema(home, ports=settings.ports, profile=settings.profile)
    _start([server for server in (service, worker) if server in due], home)
    _await([service, worker], home)
    write_target(home, ports=settings.ports)
    (home / "kept").unlink(missing_ok=True)
    return [server.name for server in due]


def _servers(home: Path, settings: Settings, tell: Tell) -> list[Server]:
    """All servers, in the order in which they need each other."""
    known = read_environment_file(secrets_file(home))
    ports, profile = settings.ports, settings.profile
    return [
        postgres_server(home, port=ports.postgres, password=known["POSTGRES_PASSWORD"]),
        redis_server(home, port=ports.redis, password=known["REDIS_PASSWORD"]),
        toxiproxy_server(home, ports=ports, tell=tell),
        service_server(home, ports=ports, profile=profile),
        worker_server(home, ports=ports, profile=profile),
    ]


def _as_wanted(home: Path, server: Server) -> bool:
    pid_file = server.pid_file(home)
    process = processes.running(pid_file)
    return (
        process is not None and not process.paused() and _same(Launch.read(pid_file), server.launch)
    )


def _same(runs: Launch, wanted: Launch) -> bool:
    """
    Whether a server runs as it is wanted, whatever shell asks.

    Where its program was found and what it took over from the shell that started it, such as PATH,
    do not make it another: a server that runs well is left alone.
    """
    first, second = (
        replace(
            launch,
            argv=(Path(launch.argv[0]).name.rstrip("0123456789."), *launch.argv[1:]),
            environment={
                name: value for name, value in launch.environment.items() if name not in TAKEN_OVER
            },
        )
        for launch in (runs, wanted)
    )
    return first == second


def _start(servers: Sequence[Server], home: Path) -> None:
    for server in servers:
        server.prepare()
        processes.start(server.launch, server.pid_file(home))


def _await(servers: Sequence[Server], home: Path) -> None:
    """Wait until all of them do their work; raises PerfchaosError, with its last words, if not."""
    deadline_s = time.monotonic() + _READY_TIMEOUT_S
    for server in servers:
        while problem := server.problem():
            ended = processes.running(server.pid_file(home)) is None
            if ended or time.monotonic() >= deadline_s:
                log = Path(log_file(home, server.name))
                what = "ended while starting" if ended else f"did not get ready: {problem}"
                raise PerfchaosError(
                    f"{server.name} {what} ({_last_words(log)})", next_step=f"read {log}"
                )
            time.sleep(0.02)


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return " | ".join(lines[-3:]) or "it logged nothing"


def _standing(home: Path, settings: Settings, server: Server) -> Standing:
    process = processes.running(server.pid_file(home))
    port = getattr(settings.ports, server.listens[0]) if server.listens else None
    if process is None:
        state, detail = "stopped", ""
    elif process.paused():
        state, detail = "paused", ""
    else:
        detail = server.problem() or ""
        state = "not answering" if detail else "running"
    pid = process.pid if process else None
    return Standing(name=server.name, state=state, pid=pid, port=port, detail=detail)


def _running(home: Path) -> list[Path]:
    return [pid_file for pid_file in home.glob("*.pid") if processes.running(pid_file)]


def _stop_all(pid_files: Sequence[Path]) -> None:
    """End them all, gently if they can be had that way, and at the same time."""
    if pid_files:
        with ThreadPoolExecutor(max_workers=len(pid_files)) as pool:
            list(pool.map(_stop_or_kill, pid_files))


def _stop_or_kill(pid_file: Path) -> None:
    try:
        processes.stop(pid_file, timeout_s=_STOP_TIMEOUT_S)
    except PerfchaosError:
        processes.kill(pid_file)


def _wipe(home: Path) -> None:
    """Delete all but the logs and the lock."""
    discard_postgres(home)
    for entry in home.iterdir():
        if entry.name in {"logs", "lock"}:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _settings(home: Path) -> Settings | None:
    try:
        record = json.loads((home / "stack.json").read_text())
    except FileNotFoundError:
        return None
    return Settings(ports=Ports(**record["ports"]), profile=record["profile"])
