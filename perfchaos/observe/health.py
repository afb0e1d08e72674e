"""Looks at what the target says of its own health, and at the SQLSTATEs it gives as its reason."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self

import httpx

from perfchaos.observe.sampler import Reading
from perfchaos.sqlstates import sqlstates_in
from perfchaos.timeline import Fact

LOOK_EVERY_S = 0.25
_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthState:
    """
    One answer: `healthy` if its status was 2xx; `status` is None where there was none.

    `sqlstates` are those that its body names, a comma between.
    """

    status: int | None
    healthy: bool
    sqlstates: str

    def facts(self) -> Mapping[str, Fact]:
        """The state as values of a reading."""
        return asdict(self)

    @classmethod
    def of(cls, reading: Reading) -> "HealthState | None":
        """The state in a reading; None for a look that failed."""
        if reading.failed is not None:
            return None
        return cls(**reading.values)  # type: ignore[arg-type]  # as written


class HealthLook:
    """Asks the health endpoint whenever it is called, over one connection."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.Client(timeout=_TIMEOUT_S, trust_env=False)

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
        """What it says; no answer is an answer too, and not a healthy one."""
        try:
            answer = self._client.get(self._url)
        except httpx.HTTPError:
            return HealthState(status=None, healthy=False, sqlstates="").facts()
        return HealthState(
            status=answer.status_code,
            healthy=answer.is_success,
            sqlstates=",".join(sqlstates_in(answer.content)),
        ).facts()
