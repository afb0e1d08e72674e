"""The reference system's own processes: the order service and its worker."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from perfchaos.errors import PerfchaosError
from perfchaos.launches import Launch, secrets_of
from perfchaos.reference.profiles import TUNED, UNTUNED
from perfchaos.stack.http import get
from perfchaos.stack.ports import HOST, Ports
from perfchaos.stack.postgres_server import DATABASE, USER
from perfchaos.stack.server import Server, base_environment, log_file, secrets_file

PROFILES: Mapping[str, Mapping[str, str]] = {"tuned": TUNED, "untuned": UNTUNED}

_SECRETS = {
    "PGPASSWORD": "POSTGRES_PASSWORD",
    "REDIS_PASSWORD": "REDIS_PASSWORD",
    "WEBHOOK_SECRET": "WEBHOOK_SECRET",
}
_SCHEMA_TIMEOUT_S = 60


def service_server(stack_dir: Path, *, ports: Ports, profile: str) -> Server:
    """The order service: ready when its own health check is."""

    def problem() -> str | None:
        try:
            status, body = get(ports.service, "/health")
        except OSError as error:
            return str(error)
        return None if status == 200 else f"/health says {status} ({body[:200].decode()})"

    return Server(
        name="service",
        listens=("service",),
        launch=_launch("service", stack_dir, ports, profile),
        prepare=lambda: None,
        problem=problem,
    )


def worker_server(stack_dir: Path, *, ports: Ports, profile: str) -> Server:
    """The worker of the queue. It listens nowhere: that it runs is all there is to see."""
    return Server(
        name="worker",
        listens=(),
        launch=_launch("worker", stack_dir, ports, profile),
        prepare=lambda: None,
        problem=lambda: None,
    )


def apply_schema(stack_dir: Path, *, ports: Ports, profile: str) -> None:
    """Bring the database to what the profile needs; raises PerfchaosError if that fails."""
    launch = _launch("schema", stack_dir, ports, profile)
    try:
        done = subprocess.run(
            launch.argv,
            cwd=launch.cwd,
            env={**launch.environment, **secrets_of(launch)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_SCHEMA_TIMEOUT_S,
        )
        why = done.stdout.strip()[-500:] if done.returncode != 0 else None
    except subprocess.TimeoutExpired:
        why = f"not done within {_SCHEMA_TIMEOUT_S} s"
    if why is not None:
        raise PerfchaosError(
            f"the schema was not applied ({why})",
            next_step=f"read {log_file(stack_dir, 'postgres')}",
        )


def _launch(module: str, stack_dir: Path, ports: Ports, profile: str) -> Launch:
    tunings = PROFILES[profile]
    return Launch(
        argv=(sys.executable, "-m", f"perfchaos.reference.{module}"),
        cwd=str(stack_dir),
        log=log_file(stack_dir, module),
        environment={
            **base_environment(),
            "PYTHONUNBUFFERED": "1",
            "SERVICE_HOST": HOST,
            "SERVICE_PORT": str(ports.service),
            # Through Toxiproxy, both.
            "PGHOST": HOST,
            "PGPORT": str(ports.postgres_proxy),
            "PGDATABASE": DATABASE,
            "PGUSER": USER,
            "REDIS_HOST": HOST,
            "REDIS_PORT": str(ports.redis_proxy),
            **tunings,
            # A tuning set by hand wins over the profile's.
            **{name: os.environ[name] for name in tunings if name in os.environ},
        },
        secrets=_SECRETS,
        secrets_file=str(secrets_file(stack_dir)),
    )
