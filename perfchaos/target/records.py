"""The records a target file is read into."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from perfchaos.errors import InvalidInput, PerfchaosError
from perfchaos.workload.plan import IDLE_MAX_S, RequestTemplate


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """
    How a service is stopped and started: a container, a compose service, or a pid file.

    Where the target file has them, `start` is the command that starts the process of a pid file,
    and `data` the folder whose data may be deleted before.
    """

    kind: Literal["docker", "compose", "process"]
    name: str
    start: tuple[str, ...] = ()
    data: str | None = None

    @classmethod
    def read(cls, text: str) -> "Handle":
        """
        The handle written as `docker:<container>`, `compose:<service>` or `process:<pid file>`.

        Raises:
            InvalidInput: it is none.

        """
        kind, _, name = text.partition(":")
        match kind:
            case "docker" | "compose" | "process" if name:
                return cls(kind=kind, name=name)
        raise InvalidInput(
            f"the handle {text!r}",
            ["it is neither docker:<container>, compose:<service> nor process:<pid file>"],
            next_step="correct it",
        )

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


UNACKED = "unacked"
"""Where Celery's workers keep what they have reserved, unless they are told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """
    Where in Redis work waits for the workers; `group` names the consumer group of a stream.

    `key` is that of a list or a stream, and the queue's name for Celery and RQ, whose queues are
    several keys. `unacked` is the hash in which Celery's workers keep what they have reserved.
    """

    key: str
    kind: Literal["list", "stream", "celery", "rq"]
    group: str | None = None
    unacked: str = UNACKED

    @property
    def lists(self) -> tuple[str, ...]:
        """The keys of the lists that workers take from; none for a stream."""
        match self.kind:
            case "list":
                return (self.key,)
            case "celery":
                # One for each priority; the highest has none in its name.
                return (self.key, *(f"{self.key}\x06\x16{priority}" for priority in range(1, 10)))
            case "rq":
                queue = f"rq:queue:{self.key}"
                return (queue, f"{queue}:intermediate")
            case "stream":
                return ()

    @property
    def registries(self) -> tuple[str, ...]:
        """The keys of RQ's registries whose jobs are to be done yet: some time, later, just now."""
        if self.kind != "rq":
            return ()
        return tuple(f"rq:{registry}:{self.key}" for registry in ("scheduled", "deferred", "wip"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Redis:
    """
    A Redis server: its own address around the proxy, and the proxy the target reaches it by.

    `upstream` is its address `host:port` as Toxiproxy calls it, where that is another.
    """

    host: str
    port: int
    database: int
    username: str | None
    password_env: str | None
    tls: bool
    proxy: str | None
    control: Handle | None
    queue: Queue | None
    upstream: str | None = None

    @property
    def password(self) -> str | None:
        """The password from the environment, or None where the server asks for none."""
        return secret(self.password_env)


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """
    A PostgreSQL server: its own address around the proxy, and the proxy it is reached by.

    `upstream` is its address `host:port` as Toxiproxy calls it, where that is another.
    """

    host: str
    port: int
    database: str
    user: str
    password_env: str | None
    sslmode: str
    proxy: str | None
    control: Handle | None
    upstream: str | None = None

    @property
    def password(self) -> str | None:
        """The password from the environment, or None where the server asks for none."""
        return secret(self.password_env)


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxiproxy:
    """The Toxiproxy server's API."""

    url: str
    token_env: str | None
    control: Handle | None

    @property
    def token(self) -> str | None:
        """The API token from the environment, or None where the server asks for none."""
        return secret(self.token_env)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUpRequest:
    """A request that prepares a round; `capture` takes (field, path in its JSON reply) from it."""

    request: RequestTemplate
    capture: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUpStatement:
    """SQL that prepares a round; each column of what it gives becomes a field of that name."""

    sql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """
    What only the first may have: how a round of contenders for it is set up, run and looked up.

    `compete` acknowledges with `won` and `lost`. A status in `won` whose body does not match the
    regular expression `won_when` means lost. Both queries give rows of (round, contender), as the
    fields `round_field` and `contender_field` name them, for the rounds in `%(rounds)s`.
    """

    set_up: tuple[SetUpRequest | SetUpStatement, ...]
    compete: RequestTemplate
    won: tuple[int, ...]
    lost: tuple[int, ...]
    won_when: str | None = None
    round_field: str
    contender_field: str
    holders_query: str
    effects_query: str

    def requests(self) -> tuple[RequestTemplate, ...]:
        """Every request template in it."""
        steps = [step.request for step in self.set_up if isinstance(step, SetUpRequest)]
        return (*steps, self.compete)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container that may be harmed: by its name and by a label `key=value` it must carry."""

    name: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastRadius:
    """What may be harmed, and for how long at most. What is not named here is out of bounds."""

    proxies: frozenset[str]
    services: frozenset[str]
    containers: tuple[Container, ...]
    addresses: tuple[str, ...]
    longest_fault_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """
    How the load keeps connections to the target.

    At most `max_count` are open. Each is kept for its next request for `idle_s` seconds at most;
    without `keep_alive` every request has one of its own.
    """

    max_count: int = 500
    keep_alive: bool = True
    idle_s: float = IDLE_MAX_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """
    One system under test.

    `ledger_query` gives rows of (id, times held) for ids between `%(first)s` and `%(last)s`.
    `waiting_query` gives those that wait for their effect in the database, `waiting_command` prints
    those that wait anywhere.
    """

    path: Path
    name: str
    webhook: RequestTemplate
    health_url: str | None
    redis: Redis | None
    postgres: Postgres | None
    toxiproxy: Toxiproxy | None
    ledger_query: str | None
    waiting_query: str | None = None
    waiting_command: tuple[str, ...] = ()
    race: Race | None
    blast_radius: BlastRadius
    connections: Connections = Connections()


def secret(variable: str | None) -> str | None:
    """
    The value of the environment variable that holds a secret.

    Raises:
        PerfchaosError: the variable is named but not set.

    """
    if variable is None:
        return None
    try:
        return os.environ[variable]
    except KeyError:
        raise PerfchaosError(
            f"the environment variable {variable} is not set",
            next_step="set it to the secret that the target file expects there",
        ) from None
