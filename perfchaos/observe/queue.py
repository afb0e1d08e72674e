"""
Watches the target's queue: how much waits, how much came, who takes from it.

Redis is asked at its own address, around the proxy, so that the queue stays in sight while the
target has lost it. What waits is, in a stream, what the consumer group was not given yet and what
its consumers have not confirmed; in a list, what is in it; for Celery and RQ, what is in any of the
keys they keep it in.

A list keeps no account of what came and went. What came is known where Redis tells of events on
keys; that something went is seen by the ends of the list; and the clients that pop stand for its
consumers.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import redis

from perfchaos.errors import InvalidInput, PerfchaosError
from perfchaos.observe.sampler import Reading, Sampler, readings
from perfchaos.redis_client import asking, connect
from perfchaos.target import Queue, Redis, Target
from perfchaos.timeline import Fact

LOOK_EVERY_S = 0.25

# Entries are counted one by one where Redis cannot tell a group's lag, but no more than these.
_COUNTED_MAX = 10_000

_EVENTS_A_LOOK_MAX = 100_000
_PUSHED = (b"lpush", b"rpush", b"linsert")
_POPS = (
    *("lpop", "rpop", "lmpop", "lmove", "rpoplpush"),
    *("blpop", "brpop", "blmpop", "blmove", "brpoplpush"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerState:
    """
    One consumer: since when it has not asked for work, and not got any, in milliseconds.

    `inactive_ms` is None where Redis keeps no account of it: before 7.2, and of lists. `pending`
    is how many entries it was given and has not confirmed.
    """

    name: str
    idle_ms: int
    inactive_ms: int | None = None
    pending: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """
    The queue at one look.

    `waiting` messages have not had their effect; `undelivered` of them nobody was given. `arrived`
    counts what came in since some moment, or nearly so, and is None where nobody tells; `taken`
    changes whenever something is taken. `group_there` is None where the queue has no group.
    """

    there: bool
    waiting: int
    undelivered: int
    arrived: int | None
    taken: str
    group_there: bool | None
    consumers: tuple[ConsumerState, ...]

    def facts(self) -> dict[str, Fact]:
        """The state as values of a reading."""
        plain = asdict(self)
        return {**plain, "consumers": json.dumps(plain["consumers"])}

    @classmethod
    def of(cls, reading: Reading) -> "QueueState | None":
        """The state in a reading; None for a look that failed."""
        if reading.failed is not None:
            return None
        facts: dict[str, Any] = dict(reading.values)
        consumers = json.loads(facts.pop("consumers"))
        return cls(**facts, consumers=tuple(ConsumerState(**consumer) for consumer in consumers))


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueReading:
    """What was seen at one instant (CLOCK_MONOTONIC); `state` is None if nothing could be."""

    at_ns: int
    state: QueueState | None


class _Takes:
    """
    Tells whether something was taken from lists between two looks.

    It was where a list is empty, is shorter, or neither of its ends is as it was: whoever only adds
    leaves one of them alone. What others take from other lists of the server says nothing.
    """

    def __init__(self) -> None:
        self._before: Sequence[Any] = ()
        self._count = 0

    def after(self, listed: Sequence[Any]) -> str:
        """How many looks saw that something was taken; length, head and tail of each list."""
        before, self._before = self._before, listed
        for at in range(0, len(before), 3):
            length, head, tail = listed[at : at + 3]
            length_before, head_before, tail_before = before[at : at + 3]
            ends_differ = head != head_before and tail != tail_before
            if length_before and (not length or length < length_before or ends_differ):
                self._count += 1
                break
        return str(self._count)


class _Events:
    """
    Counts what is pushed to lists, where Redis tells of it.

    It does with `K` and `l` (or `A`) in `notify-keyspace-events`. Its other counters are of the
    whole server, and would take for this queue's what belongs to any other.
    """

    def __init__(self, client: redis.Redis, database: int, lists: Sequence[str]) -> None:
        self._client = client
        self._channels = [f"__keyspace@{database}__:{key}" for key in lists]
        self._told: redis.client.PubSub | None = None
        self._count = 0

    def pushes(self) -> int | None:
        """How many were pushed since the first look; None if Redis does not tell."""
        try:
            flags: Any = self._client.config_get("notify-keyspace-events")
        except redis.ResponseError:  # Not for this user, or not on this service.
            return None
        told = set(flags.get("notify-keyspace-events", ""))
        if "K" not in told or not told & {"l", "A"}:
            return None
        if self._told is None:
            self._told = self._client.pubsub()  # type: ignore[no-untyped-call]
            self._told.subscribe(*self._channels)
        for _ in range(_EVENTS_A_LOOK_MAX):
            message = self._told.get_message(timeout=0)
            if message is None:
                break
            self._count += message["data"] in _PUSHED
        return self._count

    def close(self) -> None:
        """Give the connection back."""
        if self._told is not None:
            self._told.close()


class QueueLook:
    """Looks at a queue whenever it is called, over one connection."""

    def __init__(self, server: Redis, queue: Queue) -> None:
        self._server = server
        self._queue = queue
        self._client = connect(server)
        self._takes = _Takes()
        self._events = _Events(self._client, server.database, queue.lists)

    def __call__(self) -> QueueState:
        """
        The queue's state.

        Raises:
            RedisUnavailable: Redis cannot be asked.
            InvalidInput: the key holds something else than the target file says.

        """
        with asking(self._server, "the queue"):
            return self._at_lists() if self._queue.lists else self._at_stream()

    def close(self) -> None:
        """Give the connections back."""
        self._events.close()
        self._client.close()

    def _at_lists(self) -> QueueState:
        lists, registries = self._queue.lists, self._queue.registries
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.type(lists[0])
            pipeline.client_list()
            for key in lists:
                pipeline.llen(key)
                pipeline.lindex(key, 0)
                pipeline.lindex(key, -1)
            for key in registries:
                pipeline.zcard(key)
            if self._queue.kind == "celery":
                pipeline.hlen(self._queue.unacked)
            kind, clients, *answers = pipeline.execute(raise_on_error=False)
        self._require_kind(kind)
        for answer in answers:
            if isinstance(answer, redis.RedisError):
                raise answer
        listed, elsewhere = answers[: 3 * len(lists)], answers[3 * len(lists) :]
        undelivered = sum(listed[::3])
        waiting = undelivered + sum(elsewhere)
        return QueueState(
            there=waiting > 0,
            waiting=waiting,
            undelivered=undelivered,
            arrived=self._events.pushes(),
            taken=self._takes.after(listed),
            group_there=None,
            consumers=tuple(
                ConsumerState(
                    name=client["name"] or client["addr"], idle_ms=int(client["idle"]) * 1000
                )
                for client in clients
                if client["cmd"] in _POPS
            ),
        )

    def _at_stream(self) -> QueueState:
        key, group_name = self._queue.key, self._queue.group
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.type(key)
            pipeline.xlen(key)
            pipeline.xinfo_stream(key)
            pipeline.xinfo_groups(key)
            pipeline.xinfo_consumers(key, group_name or "")
            kind, length, stream, groups, consumers = pipeline.execute(raise_on_error=False)
        self._require_kind(kind)
        if isinstance(stream, redis.ResponseError):  # There is no such key.
            stream, groups = {}, ()
        group = next((group for group in groups if group["name"].decode() == group_name), None)
        undelivered = self._undelivered(group, length)
        return QueueState(
            there=bool(stream),
            waiting=undelivered + (group["pending"] if group else 0),
            undelivered=undelivered,
            arrived=stream.get("entries-added", 0),
            taken=group["last-delivered-id"].decode() if group else "",
            group_there=group is not None if group_name else None,
            # The group may have vanished in between: then the answer is an error.
            consumers=_consumers(consumers) if isinstance(consumers, list) else (),
        )

    def _undelivered(self, group: Mapping[str, Any] | None, length: int) -> int:
        if group is None:
            return length
        if (lag := group.get("lag")) is not None:
            return int(lag)
        after = f"({group['last-delivered-id'].decode()}"
        entries: Any = self._client.xrange(self._queue.key, after, "+", count=_COUNTED_MAX)
        return len(entries)

    def _require_kind(self, kind: object) -> None:
        """Raise what befell the whole pipeline, or that the key is of another type."""
        if isinstance(kind, redis.RedisError):
            raise kind
        found = kind.decode() if isinstance(kind, bytes) else str(kind)
        key, wanted = (self._queue.key, "stream")
        if self._queue.lists:
            key, wanted = self._queue.lists[0], "list"
        if found not in ("none", wanted):
            raise InvalidInput(
                "redis.queue",
                [f"the key {key!r} holds a {found}, not a {wanted}"],
                next_step="correct its key or kind in the target file",
            )


@contextmanager
def queue_watched(look: QueueLook, path: Path) -> Iterator[None]:
    """Within this, a reading of the queue every quarter of a second goes into the file."""
    with closing(look), Sampler(path, lambda: look().facts(), interval_s=LOOK_EVERY_S):
        yield


def queue_look(target: Target) -> QueueLook | None:
    """
    A look at the target's queue that has worked once; None if the target names no queue.

    Raises:
        RedisUnavailable: Redis cannot be asked.
        InvalidInput: the key holds something else than the target file says.

    """
    if target.redis is None or target.redis.queue is None:
        return None
    look = QueueLook(target.redis, target.redis.queue)
    try:
        look()
    except PerfchaosError:
        look.close()
        raise
    return look


def queue_readings(path: Path) -> tuple[QueueReading, ...]:
    """All readings of the queue in the file so far, in order."""
    return tuple(
        QueueReading(at_ns=reading.at_ns, state=QueueState.of(reading))
        for reading in readings(path)
    )


def _consumers(answer: Sequence[Mapping[str, Any]]) -> tuple[ConsumerState, ...]:
    return tuple(
        ConsumerState(
            name=consumer["name"].decode(),
            idle_ms=consumer["idle"],
            inactive_ms=consumer.get("inactive"),
            pending=consumer["pending"],
        )
        for consumer in answer
    )
