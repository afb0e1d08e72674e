"""The race process's account of itself, in the words of every workload process."""

import time
from collections import Counter

from perfchaos.recording.layout import Outcome
from perfchaos.workload.tally import Tally

_LAG_STEP_NS = 10_000


class Tallying:
    """Counts requests and how long after the moment of release each one left."""

    def __init__(self, *, epoch_ns: int) -> None:
        self._epoch_ns = epoch_ns
        self._epoch_cpu_s = time.process_time()
        self._outcomes: Counter[Outcome] = Counter()
        self._lags: Counter[int] = Counter()

    @property
    def planned_count(self) -> int:
        """Requests released so far."""
        return self._outcomes.total()

    def count(self, outcome: Outcome, lag_ns: int) -> None:
        """One more request."""
        self._outcomes[outcome] += 1
        self._lags[lag_ns // _LAG_STEP_NS] += 1

    def tally(self, *, sent_bytes: int, received_bytes: int) -> Tally:
        """The account so far."""
        elapsed_s = (time.monotonic_ns() - self._epoch_ns) / 1e9
        cpu_s = time.process_time() - self._epoch_cpu_s
        return Tally(
            planned_count=self.planned_count,
            acked_count=self._outcomes[Outcome.ACKED],
            refused_count=self._outcomes[Outcome.REFUSED],
            indeterminate_count=self._outcomes[Outcome.INDETERMINATE],
            dropped_count=0,
            in_flight_count=0,
            own_limit_count=0,
            sent_bytes=sent_bytes,
            received_bytes=received_bytes,
            lag_p50_ms=self._lag_ms(0.50),
            lag_p99_ms=self._lag_ms(0.99),
            lag_max_ms=self._lag_ms(1.0),
            cpu_s=cpu_s,
            cpu_ratio=cpu_s / elapsed_s if elapsed_s > 0 else 0.0,
            sending_s=elapsed_s,
            elapsed_s=elapsed_s,
        )

    def _lag_ms(self, quantile: float) -> float | None:
        """Nearest rank in the histogram; the upper edge of the step."""
        left = quantile * self._lags.total()
        for step in sorted(self._lags):
            left -= self._lags[step]
            if left <= 0:
                return (step + 1) * _LAG_STEP_NS / 1e6
        return None
