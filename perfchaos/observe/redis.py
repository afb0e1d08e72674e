"""Looks at who is connected to the target's Redis, at its own address, around any proxy."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from perfchaos.observe.sampler import Reading
from perfchaos.observe.unused import unused
from perfchaos.redis_client import CLIENT_NAME, asking, connect
from perfchaos.target import Redis
from perfchaos.timeline import Fact

LOOK_EVERY_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisState:
    """
    The clients of others at one look.

    `unused_s` are the seconds for which each that sent nothing in the last of them has not.
    """

    clients: int
    unused_s: tuple[float, ...]

    def facts(self) -> Mapping[str, Fact]:
        """The state as values of a reading."""
        return {"clients": self.clients, "unused_s": json.dumps(self.unused_s)}

    @classmethod
    def of(cls, reading: Reading) -> "RedisState | None":
        """The state in a reading; None for a look that failed."""
        if reading.failed is not None:
            return None
        clients, unused_s = reading.values["clients"], reading.values["unused_s"]
        return cls(clients=int(clients or 0), unused_s=tuple(json.loads(str(unused_s))))


class RedisLook:
    """Asks a Redis for its clients whenever it is called, over one connection."""

    def __init__(self, server: Redis) -> None:
        self._server = server
        self._client = connect(server)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.close()

    def __call__(self) -> Mapping[str, Fact]:
        """The clients it has; raises RedisUnavailable where it cannot be asked."""
        with asking(self._server, "its clients"):
            normal: Any = self._client.client_list(_type="normal")
            listening: Any = self._client.client_list(_type="pubsub")
        others = [one for one in (*normal, *listening) if one["name"] != CLIENT_NAME]
        idle_s = unused(float(one["idle"]) for one in others)
        return RedisState(clients=len(others), unused_s=idle_s).facts()
