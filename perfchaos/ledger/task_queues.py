"""
The messages of Celery and RQ that wait, wherever in Redis they keep them.

What moves between two keys while they are read must be seen at one of them at least. Keys are read
in the direction messages take, and the lists once more in the end, for what is put back.
"""

import re
import zlib
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterator, Sequence
from typing import Any

import redis

from perfchaos.target import Queue

JOBS_A_PAGE = 1_000

_BODY = re.compile(rb'"body": ?"([A-Za-z0-9+/=]*)"')


def celery_entries(client: redis.Redis, queue: Queue) -> Iterator[bytes]:
    """
    Celery's messages: in its lists, and in the hash of what workers have reserved.

    Each is its JSON and what its body holds: `argsrepr`, which can be read as it is, is cut short.
    """
    yield from map(_with_body, _all_of(client, queue.lists))
    reserved: Any = client.hvals(queue.unacked)
    yield from map(_with_body, reserved)
    yield from map(_with_body, _all_of(client, queue.lists))


def rq_entries(client: redis.Redis, queue: Queue) -> Iterator[bytes]:
    """RQ's jobs that are not done: in its lists and registries, those that failed among them."""
    later = _members(client, queue.registries)
    queued = _all_of(client, queue.lists)
    under_way = _members(client, (*queue.registries, f"rq:failed:{queue.key}"))
    ids = dict.fromkeys((*later, *queued, *under_way, *_all_of(client, queue.lists)))
    # A registry of executions names the job before the colon.
    jobs = list(dict.fromkeys(one.partition(b":")[0] for one in ids))
    for start in range(0, len(jobs), JOBS_A_PAGE):
        page = jobs[start : start + JOBS_A_PAGE]
        with client.pipeline(transaction=False) as pipeline:
            for job in page:
                pipeline.hmget(b"rq:job:" + job, "data", "description")
            answers: list[Any] = pipeline.execute()
        for job, (data, description) in zip(page, answers, strict=True):
            yield b" ".join((job, description or b"", _unpacked(data or b"")))


def _all_of(client: redis.Redis, lists: Sequence[str]) -> list[bytes]:
    with client.pipeline(transaction=False) as pipeline:
        for key in lists:
            pipeline.lrange(key, 0, -1)
        return [entry for listed in pipeline.execute() for entry in listed]


def _members(client: redis.Redis, registries: Sequence[str]) -> list[bytes]:
    with client.pipeline(transaction=False) as pipeline:
        for key in registries:
            pipeline.zrange(key, 0, -1)
        return [member for members in pipeline.execute() for member in members]


def _with_body(message: bytes) -> bytes:
    try:
        bodies = [_unpacked(b64decode(body)) for body in _BODY.findall(message)]
    except NotBase64:
        return message
    return b" ".join((message, *bodies))


def _unpacked(data: bytes) -> bytes:
    """What was compressed, or what was not."""
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data
