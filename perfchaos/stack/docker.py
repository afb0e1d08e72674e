"""
The stack in containers: up, down, and how it stands.

`compose.yaml` says what runs; this gives it its ports, secrets and tunings, waits until it works,
and writes the target file. Every stack directory has a compose project of its own, so that several
stacks share an engine without meeting.
"""

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from perfchaos.containers import ContainerEngine, ContainerState, engine_address
from perfchaos.errors import PerfchaosError
from perfchaos.launches import read_environment_file, write_private
from perfchaos.stack.embedded import Settings, Standing
from perfchaos.stack.home import Tell, alone, ensure_secrets, require_unused, stack_dir, undisturbed
from perfchaos.stack.http import get
from perfchaos.stack.ports import Ports, require_free
from perfchaos.stack.postgres_server import DATABASE, USER
from perfchaos.stack.reference_servers import PROFILES
from perfchaos.stack.server import secrets_file
from perfchaos.stack.target_file import write_target
from perfchaos.stack.toxiproxy_server import proxies_between

COMPOSE_FILE = Path(__file__).parents[2] / "compose.yaml"

# Each with the port it publishes; what listens nowhere has none.
_SERVICES = {
    "postgres": "postgres",
    "redis": "redis",
    "toxiproxy": "toxiproxy",
    "service": "service",
    "worker": None,
}
_READY_TIMEOUT_S = 60.0
_COMPOSE_TIMEOUT_S = 900.0  # The first time it may pull and build images.
_STOP_TIMEOUT_S = 5
_LOOK_S = 0.1


def up(*, ports: Ports, profile: str | None, tell: Tell, used_by: str | None = None) -> list[str]:
    """
    Bring the reference system up in containers, or complete it; the names of what was started.

    With `profile` None a stack that is up keeps its own and a new one is tuned. What did not get
    up at all is taken down again. Raises PerfchaosError (no engine, no image, a taken port, a
    container that does not start; or a run, `used_by`, is under way).
    """
    require_unused(used_by, "containers might be created anew")
    with alone(tell) as home:
        before = _settings(home)
        running = {state.name for state in _containers(home) if state.running}
        if before and running and before.ports != ports:
            raise PerfchaosError(
                "the stack is up on other ports", next_step="run 'perfchaos down' first"
            )
        if not running:
            require_free(ports, asdict(ports))
        wanted = Settings(ports=ports, profile=profile or (before.profile if before else "tuned"))
        ensure_secrets(home)
        write_private(_record(home), json.dumps(asdict(wanted), indent=2) + "\n")
        try:
            _bring_up(home, wanted, tell)
        except BaseException:
            with undisturbed():
                if not running:
                    _give_up(home, tell, keep_data=before is not None)
            raise
        now = [state for state in _containers(home) if state.running]
        return [_service_of(state) for state in now if state.name not in running]


def down(*, keep_data: bool, tell: Tell) -> bool:
    """
    Take the containers down; False if there were none.

    Their data go too, unless they are kept for the next `up`: then the containers stay, stopped.
    """
    with alone(tell) as home, undisturbed():
        was_up = any(state.running for state in _containers(home))
        _take_down(home, keep_data=keep_data)
        return was_up


def look() -> list[Standing]:
    """How each container of the stack stands; nothing if there is no stack. Changes nothing."""
    home = stack_dir()
    settings = _settings(home)
    if settings is None:
        return []
    states = {_service_of(state): state for state in _containers(home)}
    return [
        _standing(name, states.get(name), getattr(settings.ports, port) if port else None)
        for name, port in _SERVICES.items()
    ]


def is_here() -> bool:
    """Whether the stack in this place is one of containers, up or kept."""
    return _record(stack_dir()).exists()


def project_of(home: Path) -> str:
    """The compose project of a stack directory: one for each."""
    return f"perfchaos-{hashlib.sha256(os.fsencode(home)).hexdigest()[:8]}"


def _give_up(home: Path, tell: Tell, *, keep_data: bool) -> None:
    """Take down what did not get up; why it did not is the error to be told."""
    try:
        _take_down(home, keep_data=keep_data)
    except PerfchaosError as error:
        tell(f"what was started of it could not be taken down: {error}")


def _bring_up(home: Path, settings: Settings, tell: Tell) -> None:
    ports = settings.ports
    proxies = proxies_between(
        {
            "redis": (f"0.0.0.0:{ports.redis_proxy}", "redis:6379"),
            "postgres": (f"0.0.0.0:{ports.postgres_proxy}", "postgres:5432"),
        }
    )
    # Not a secret, and read in the container by whatever user its image has.
    (home / "proxies.json").write_text(json.dumps(proxies, indent=2) + "\n")
    write_private(home / "service.env", _environment_file(settings))
    environment = _environment(home, settings)
    if "PERFCHAOS_SERVICE_IMAGE" not in environment:
        tell("building the image of the order service, if its code has changed")
        _compose(home, ["build", "service"], environment)
    _let_go_on(home)
    ended_before = {(state.id, state.started_at) for state in _containers(home) if state.down}
    try:
        _compose(home, ["up", "--detach", "--remove-orphans"], environment)
        _await_ready(home, ports)
    except PerfchaosError:
        # What a container said when it failed tells more than what became of the others.
        _see_none_failed(home, since=ended_before)
        raise
    write_target(home, ports=ports, project=project_of(home))


def _await_ready(home: Path, ports: Ports) -> None:
    """
    Wait until the order service says that it works, and every health check that its container does.

    Raises PerfchaosError if they do not.
    """
    deadline_s = time.monotonic() + _READY_TIMEOUT_S
    problem = "it did not answer"
    while time.monotonic() < deadline_s:
        try:
            status, body = get(ports.service, "/health")
            problem = f"/health says {status} ({body[:200].decode(errors='replace')})"
        except OSError as error:
            status, problem = None, str(error)
        states = _containers(home)
        unwell = [state for state in states if state.health not in (None, "healthy")]
        if status == 200 and not unwell:
            return
        if status == 200:
            problem = f"the health check of {unwell[0]} says {unwell[0].health}"
        if any(state.down and state.exit_code != 0 for state in states):
            break
        time.sleep(_LOOK_S)
    raise PerfchaosError(
        f"the stack did not get ready: {problem}",
        next_step="bring it up again; 'docker events' shows what becomes of its containers",
    )


def _see_none_failed(home: Path, *, since: Collection[tuple[str, str]]) -> None:
    """Raises PerfchaosError, with its last words, if a container failed since those had ended."""
    for state in _containers(home):
        if state.down and state.exit_code != 0 and (state.id, state.started_at) not in since:
            with ContainerEngine(engine_address()) as engine:
                words = engine.last_words(state.id)
            raise PerfchaosError(
                f"{state} ended with exit code {state.exit_code} ({words})",
                next_step="correct that, and bring the stack up again",
            )


def _let_go_on(home: Path) -> None:
    """Unpause what is paused: nothing in it would hear that it is to start or to end."""
    for state in _containers(home):
        if state.status == "paused":
            with ContainerEngine(engine_address()) as engine:
                engine.unpause(state.id)


def _take_down(home: Path, *, keep_data: bool) -> None:
    settings = _settings(home)
    if settings is None:
        return
    environment = _environment(home, settings)
    stop = ["--timeout", str(_STOP_TIMEOUT_S)]
    _let_go_on(home)
    (home / "target.yaml").unlink(missing_ok=True)
    if keep_data:
        _compose(home, ["stop", *stop], environment)
        return
    take_all = ["down", "--volumes", "--remove-orphans", *stop]
    _compose(home, take_all, environment)
    if _containers(home):  # What an interrupted 'up' had asked for may have come only now.
        _compose(home, take_all, environment)
    for name in ("proxies.json", "service.env"):
        (home / name).unlink(missing_ok=True)
    secrets_file(home).unlink(missing_ok=True)
    _record(home).unlink()


def _compose(home: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run compose on our project; raises PerfchaosError, with its last words, if it fails."""
    program = _compose_command()
    about = ("--file", str(COMPOSE_FILE), "--project-name", project_of(home))
    done = subprocess.run(
        [*program, *about, *arguments],
        env={**environment, "COMPOSE_ANSI": "never", "COMPOSE_PROGRESS": "plain"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_COMPOSE_TIMEOUT_S,
    )
    if done.returncode != 0:
        said = " | ".join((done.stderr or done.stdout).strip().splitlines()[-4:])
        raise PerfchaosError(
            f"'{' '.join(program)} {arguments[0]}' failed ({said})",
            next_step="run 'perfchaos down' again"
            if arguments[0] in ("down", "stop")
            else "where no image can be pulled, 'make up-docker' makes them from packages",
        )


def _compose_command() -> tuple[str, ...]:
    """`docker compose` where its plugin is installed, else `docker-compose`."""
    if shutil.which("docker"):
        plugin = ("docker", "compose")
        asked = subprocess.run([*plugin, "version"], capture_output=True, check=False, timeout=20)
        if asked.returncode == 0:
            return plugin
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    raise PerfchaosError(
        "there is neither 'docker compose' nor 'docker-compose'",
        next_step="install Docker's compose plugin",
    )


def _environment(home: Path, settings: Settings) -> dict[str, str]:
    """What `compose.yaml` asks for; secrets travel in the environment alone."""
    return {
        **{name: value for name, value in os.environ.items() if name != "DOCKER_CONTEXT"},
        "DOCKER_HOST": engine_address(),  # Or compose would follow the context in use.
        **read_environment_file(secrets_file(home)),
        **{
            f"PERFCHAOS_{name.upper()}_PORT": str(port)
            for name, port in asdict(settings.ports).items()
        },
        "PERFCHAOS_PROJECT": project_of(home),
        "PERFCHAOS_STACK_DIR": str(home),
    }


def _environment_file(settings: Settings) -> str:
    tunings = PROFILES[settings.profile]
    variables = {
        "SERVICE_HOST": "0.0.0.0",  # noqa: S104 - in its container; published on the loopback only
        "SERVICE_PORT": "8000",
        # Through Toxiproxy, both.
        "PGHOST": "toxiproxy",
        "PGPORT": str(settings.ports.postgres_proxy),
        "PGDATABASE": DATABASE,
        "PGUSER": USER,
        "REDIS_HOST": "toxiproxy",
        "REDIS_PORT": str(settings.ports.redis_proxy),
        **tunings,
        # A tuning set by hand wins over the profile's.
        **{name: os.environ[name] for name in tunings if name in os.environ},
    }
    return "".join(f"{name}={value}\n" for name, value in variables.items())


def _containers(home: Path) -> tuple[ContainerState, ...]:
    with ContainerEngine(engine_address()) as engine:
        return engine.labelled(f"com.docker.compose.project={project_of(home)}")


def _service_of(state: ContainerState) -> str:
    return (state.service or "").rpartition("/")[2]


def _standing(name: str, state: ContainerState | None, port: int | None) -> Standing:
    detail = ""
    if state is None:
        standing = "stopped"
    elif state.status == "running" and state.health in (None, "healthy"):
        standing = "running"
    elif state.status == "running":
        standing, detail = "not answering", f"its health check says {state.health}"
    elif state.status == "paused":
        standing = "paused"
    else:
        standing, detail = "stopped", f"{state.status}, exit code {state.exit_code}"
    return Standing(name=name, state=standing, pid=None, port=port, detail=detail)


def _settings(home: Path) -> Settings | None:
    try:
        record = json.loads(_record(home).read_text())
    except FileNotFoundError:
        return None
    return Settings(ports=Ports(**record["ports"]), profile=record["profile"])


def _record(home: Path) -> Path:
    return home / "docker.json"
