"""A Redis is not started over data it cannot read."""

from pathlib import Path

import pytest

from perfchaos.errors import PerfchaosError
from perfchaos.stack.redis_server import find_redis, redis_server, redis_version, require_readable


def program(folder: Path, version: str) -> str:
    path = folder / "redis-server"
    path.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=00000000:0 malloc=libc'\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("made", "found", "refused"),
    [
        ("8.2.3", "7.0.15", True),
        ("8.2.3", "8.0.9", True),
        ("8.2.3", "8.2.1", False),
        ("8.2.3", "8.4.0", False),
        ("9.0.0", "10.0.0", False),
        (None, "7.0.15", False),
    ],
)
def test_data_of_a_newer_redis_are_refused_with_the_way_out(
    tmp_path: Path, made: str | None, found: str, refused: bool
) -> None:
    data = tmp_path / "redis"
    data.mkdir()
    if made:
        (tmp_path / "redis.version").write_text(f"{made} /opt/redis-server\n")
    if not refused:
        require_readable(data, program(tmp_path, found))
        return
    with pytest.raises(PerfchaosError, match=r"/opt/redis-server.*cannot read.*first on PATH"):
        require_readable(data, program(tmp_path, found))


def test_who_makes_the_data_is_on_record(tmp_path: Path) -> None:
    redis_server(tmp_path, port=1, password="p").prepare()
    made = (tmp_path / "redis.version").read_text().split()
    assert made == [redis_version(find_redis()), find_redis()]


def test_a_program_that_is_no_redis_is_named(tmp_path: Path) -> None:
    with pytest.raises(PerfchaosError, match="does not say its version"):
        redis_version(program(tmp_path, "none"))
