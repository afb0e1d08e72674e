"""Says every few seconds how the load fares, while the run lasts."""

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from perfchaos.figures import amount
from perfchaos.recording import Recording, Window
from perfchaos.timeline import Phase

EVERY_S = 2.0

logger = logging.getLogger("chaostoolkit")


class Progress:
    """Logs one line every two seconds while it is entered; `phase` tells the current phase."""

    def __init__(self, recording: Recording, phase: Callable[[], Phase | None]) -> None:
        self._recording = recording
        self._phase = phase
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._speak, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _speak(self) -> None:
        while not self._stopped.wait(EVERY_S):
            now_ns = time.monotonic_ns()
            window = self._recording.between(now_ns - round(EVERY_S * 1e9), now_ns)
            phase = self._phase()
            logger.info("%s", line(phase.value if phase else "warm-up", window))


def line(phase: str, window: Window) -> str:
    """How the load fared in `window`, in one line."""
    return "  ".join(
        (
            f"{phase:<8}",
            f"{amount(window.rate_per_s, '1/s'):>8} acknowledged",
            f"{amount(window.error_ratio, 'ratio'):>6} not",
            f"p50 {amount(window.latency_ms(0.5), 'ms')}",
            f"p99 {amount(window.latency_ms(0.99), 'ms')}",
        )
    )
