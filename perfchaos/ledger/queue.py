"""Asks Redis, around the proxy, what still waits in the target's queue."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import redis

from perfchaos.errors import PerfchaosError
from perfchaos.ledger.reconciling import Numbers
from perfchaos.ledger.task_queues import celery_entries, rq_entries
from perfchaos.recording.ids import prefix_of
from perfchaos.redis_client import connected
from perfchaos.target import Queue, Target

ENTRIES_A_PAGE = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """
    The numbers that wait in the queue, in ascending order, each once.

    `entries_count` is how many entries were looked into, of whichever run. It is `kept` where the
    queue keeps what is done, so that what has had its effect does not wait in it.
    `overlooked` says where else something may wait that the target file does not speak of.
    """

    numbers: Numbers
    entries_count: int = 0
    kept: bool = False
    overlooked: str | None = None

    def only(self, numbers: Numbers) -> Self:
        """The same look, with no more than these numbers."""
        return replace(self, numbers=numbers)


def together(found: Iterable[Queued]) -> Queued:
    """What waits in any of several places."""
    places = list(found)
    return Queued(
        numbers=np.unique(np.concatenate([place.numbers for place in places])),
        entries_count=sum(place.entries_count for place in places),
        kept=any(place.kept for place in places),
        overlooked=next((place.overlooked for place in places if place.overlooked), None),
    )


def queued_by_redis(target: Target, seed: int) -> Queued:
    """
    The requests of the run with this seed that wait in the queue.

    Those of a stream wait while they are undelivered, and while they are delivered and unconfirmed.

    Raises:
        PerfchaosError: the target names no queue, or Redis cannot be asked about it.

    """
    if target.redis is None or target.redis.queue is None:
        raise PerfchaosError(
            f"target file {target.path} names no queue",
            next_step="add redis.queue with its key and kind",
        )
    queue = target.redis.queue
    with connected(target.redis, "the queue") as client:
        found = queued_in(_entries(client, queue), seed)
        if queue.kind == "stream" and queue.group is None:
            found = replace(found, kept=True)  # Nobody confirms anything.
        if queue.kind == "list" and client.type(queue.unacked) == b"hash":
            count = client.hlen(queue.unacked)
            found = replace(
                found,
                overlooked=f"beside the list {queue.key!r} there is a hash {queue.unacked!r} with "
                f"{count} messages, in which Celery keeps what its workers have taken: set "
                "redis.queue.kind to celery",
            )
    return found


def queued_in(entries: Iterable[bytes], seed: int) -> Queued:
    """The requests of the run with this seed whose ids stand somewhere in the entries."""
    prefix = prefix_of(seed).replace("-", "-?").encode()
    ours = re.compile(prefix + rb"([0-9a-f]{12})", re.IGNORECASE)
    found: set[int] = set()
    entries_count = 0
    for entry in entries:
        entries_count += 1
        found.update(int(digits, 16) for digits in ours.findall(entry))
    return Queued(numbers=np.array(sorted(found), dtype=np.int64), entries_count=entries_count)


def _entries(client: redis.Redis, queue: Queue) -> Iterator[bytes]:
    match queue.kind:
        case "list":
            # In one reply: between two pages items would move, and be missed.
            listed: Any = client.lrange(queue.key, 0, -1)
            yield from listed
        case "celery":
            yield from celery_entries(client, queue)
        case "rq":
            yield from rq_entries(client, queue)
        case "stream":
            yield from _of_stream(client, queue)


def _of_stream(client: redis.Redis, queue: Queue) -> Iterator[bytes]:
    group = _group(client, queue) if queue.group else None
    if group is None:
        yield from _between(client, queue.key, "-", "+")
        return
    yield from _between(client, queue.key, f"({group['last-delivered-id'].decode()}", "+")
    yield from _pending(client, queue.key, str(queue.group))


def _group(client: redis.Redis, queue: Queue) -> dict[str, Any] | None:
    """The consumer group, or None when it, or the stream, is not there."""
    if not client.exists(queue.key):
        return None
    for group in client.xinfo_groups(queue.key):
        if group["name"] == (queue.group or "").encode():
            return group
    return None


def _pending(client: redis.Redis, key: str, group: str) -> Iterator[bytes]:
    """The entries that consumers were given and have not confirmed."""
    start = "-"
    while True:
        page: Any = client.xpending_range(key, group, start, "+", ENTRIES_A_PAGE)
        with client.pipeline(transaction=False) as pipeline:
            for pending in page:
                pipeline.xrange(key, pending["message_id"], pending["message_id"])
            for found in pipeline.execute():
                yield from map(_text, found)
        if len(page) < ENTRIES_A_PAGE:
            return
        start = f"({page[-1]['message_id'].decode()}"


def _between(client: redis.Redis, key: str, first: str, last: str) -> Iterator[bytes]:
    """The stream's entries from `first` to `last`."""
    start = first
    while True:
        page: Any = client.xrange(key, start, last, count=ENTRIES_A_PAGE)
        yield from map(_text, page)
        if len(page) < ENTRIES_A_PAGE:
            return
        start = f"({page[-1][0].decode()}"


def _text(entry: tuple[bytes, dict[bytes, bytes]]) -> bytes:
    """All fields of a stream's entry, as one text."""
    _, fields = entry
    return b" ".join((*fields.keys(), *fields.values()))
