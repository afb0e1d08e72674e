"""A circuit breaker with a trial call of its own: no customer's request is the guinea pig."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)


class CircuitBreaker:
    """
    Opens after `threshold` failures in a row; closes when `trial` passes, tried every `retry_s`.

    A `threshold` of None never opens. `trial` raises to say that it did not pass.
    """

    def __init__(
        self,
        name: str,
        *,
        threshold: int | None,
        retry_s: float,
        trial: Callable[[], Awaitable[object]],
    ) -> None:
        self._name = name
        self._threshold = threshold
        self._retry_s = retry_s
        self._trial = trial
        self._failures = 0
        self._opened = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return self._opened.is_set()

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self) -> None:
        self._failures += 1
        if self._threshold is not None and self._failures >= self._threshold and not self.is_open:
            self._opened.set()
            _log.warning("%s: open after %d failures in a row", self._name, self._failures)

    async def watch(self) -> None:
        """Close the breaker again whenever it may be. Runs until cancelled."""
        while True:
            await self._opened.wait()
            await asyncio.sleep(self._retry_s)
            if await self._trial_passes():
                self._failures = 0
                self._opened.clear()
                _log.warning("%s: closed", self._name)

    async def _trial_passes(self) -> bool:
        try:
            await self._trial()
        except Exception:  # noqa: BLE001 - whatever it raises, the trial was not passed
            return False
        return True
