"""
The load engine: gives each request to the pool when it is due.

Open model: a request is due at its intended instant whatever the target does, and latency counts
from that instant. At any time planned = acked + refused + indeterminate + dropped + in flight.
Closed model: the next request is due when one has been settled.
"""

import asyncio
import math
import time
from itertools import islice

from perfchaos.recording.layout import NUMBER_MAX, Outcome
from perfchaos.recording.writer import Recorder
from perfchaos.workload.arrivals import Arrivals, offsets_ns
from perfchaos.workload.pacer import timer
from perfchaos.workload.plan import ClosedLoop, Plan
from perfchaos.workload.pool import Pool
from perfchaos.workload.rendering import Render
from perfchaos.workload.tally import Tally

_NEVER_NS = 1 << 62
_BATCH_COUNT = 500  # sent in one wake-up at most, so that replies are read in between
_LAG_STEP_NS = 10_000
_LAG_TOP = 100_000  # steps: lags of a second and more share the last one

_monotonic_ns = time.monotonic_ns


class Engine:
    """
    Runs one plan, or one part of it, in the running event loop.

    Part `part` of `parts` takes the requests whose number is `part` modulo `parts`, and its share
    of the plan's bounds.
    """

    def __init__(self, plan: Plan, render: Render, *, part: int = 0, parts: int = 1) -> None:
        self._plan, self._part, self._parts = plan, part, parts
        closed = plan.load if isinstance(plan.load, ClosedLoop) else None
        self._slots_count = 0 if closed is None else _share(closed.in_flight_count, part, parts)
        self._pool = Pool(
            plan,
            render,
            connections_max=self._slots_count or _share(plan.connections_max, part, parts),
            in_flight_max=self._slots_count or _share(plan.in_flight_max, part, parts),
            keep_spares=closed is not None,
            settled=None if closed is None else self._plan_next,
        )
        self._planned_count = 0
        self._lags = [0] * (_LAG_TOP + 1)
        self._epoch_ns = 0
        self._end_ns = _NEVER_NS
        self._sent_all = asyncio.Event()
        self._give_up = asyncio.Event()
        self._cpu_s = 0.0

    async def run(self, recorder: Recorder, *, epoch_ns: int) -> Tally:
        """
        Sends from `epoch_ns` on until the plan or `stop` ends it, then drains.

        Returns when no request is in flight, at the latest one request timeout after the end of
        sending.
        """
        self._epoch_ns, self._recorder = epoch_ns, recorder
        if (duration_s := self._plan.sending_s) is not None:
            self._end_ns = min(self._end_ns, epoch_ns + int(duration_s * 1e9))
        self._cpu_s = time.process_time()
        self._pool.record_into(recorder, epoch_ns=epoch_ns)
        if isinstance(self._plan.load, Arrivals):
            await self._run_open(self._plan.load)
        else:
            await self._run_closed()
        await self._pool.drain(give_up=self._give_up)
        tally = self.tally()
        await self._pool.close()
        return tally

    def stop(self) -> None:
        """Plans nothing from now on; what came due before is still sent. Twice: ends at once."""
        if self._sent_all.is_set():
            self._give_up.set()
        self._end_ns = min(self._end_ns, _monotonic_ns())
        self._sent_all.set()

    def tally(self) -> Tally:
        """What was done since `run` was called."""
        counts = self._pool.counts
        cpu_s = time.process_time() - self._cpu_s
        elapsed_s = (_monotonic_ns() - self._epoch_ns) / 1e9
        ended = self._sent_all.is_set()
        return Tally(
            planned_count=self._planned_count,
            acked_count=counts[Outcome.ACKED],
            refused_count=counts[Outcome.REFUSED],
            indeterminate_count=counts[Outcome.INDETERMINATE],
            dropped_count=counts[Outcome.DROPPED],
            in_flight_count=self._pool.in_flight_count,
            own_limit_count=self._pool.own_limit_count,
            parted_count=self._pool.parted_count,
            held_up_count=self._pool.held_up_count,
            sent_bytes=self._pool.sent_bytes,
            received_bytes=self._pool.received_bytes,
            lag_p50_ms=_lag_ms(self._lags, 0.50),
            lag_p99_ms=_lag_ms(self._lags, 0.99),
            lag_max_ms=_lag_ms(self._lags, 1.0),
            cpu_s=cpu_s,
            cpu_ratio=cpu_s / elapsed_s if elapsed_s > 0 else 0.0,
            sending_s=(self._end_ns - self._epoch_ns) / 1e9 if ended else elapsed_s,
            elapsed_s=elapsed_s,
        )

    # The open model.

    async def _run_open(self, arrivals: Arrivals) -> None:
        numbered = enumerate(offsets_ns(arrivals, seed=self._plan.seed))
        self._arrivals = islice(numbered, self._part, NUMBER_MAX, self._parts)
        self._advance()
        self._timer = timer(self._pool.loop, self._on_due)
        self._timer.arm(self._next_ns)
        await self._sent_all.wait()
        self._timer.close()
        # Due before the end and not yet turned to; replies are read in between.
        while self._send_due():  # noqa: ASYNC110
            await asyncio.sleep(0)

    def _on_due(self) -> None:
        self._send_due()
        if self._next_ns < self._end_ns:
            self._timer.arm(self._next_ns)
        else:
            self._sent_all.set()

    def _send_due(self) -> int:
        """Sends what is due by now, up to a batch; how many that were."""
        now_ns = _monotonic_ns()
        last_ns = min(now_ns, self._end_ns - 1)
        batch: list[tuple[int, int]] = []
        while self._next_ns <= last_ns and len(batch) < _BATCH_COUNT:
            batch.append((self._next_n, self._next_ns))
            self._advance()
        self._planned_count += len(batch)
        self._recorder.planned(self._planned_count)
        for n, intended_ns in batch:
            lag_ns = self._pool.send(n, intended_ns, now_ns) - intended_ns
            self._lags[min(lag_ns // _LAG_STEP_NS, _LAG_TOP)] += 1
        return len(batch)

    def _advance(self) -> None:
        n, offset_ns = next(self._arrivals, (0, _NEVER_NS))
        self._next_n, self._next_ns = n, self._epoch_ns + offset_ns

    # The closed model.

    async def _run_closed(self) -> None:
        await asyncio.sleep((self._epoch_ns - _monotonic_ns()) / 1e9)
        for _ in range(self._slots_count):
            self._plan_next(_monotonic_ns())
        remaining_s = (self._end_ns - _monotonic_ns()) / 1e9
        await asyncio.wait([asyncio.ensure_future(self._sent_all.wait())], timeout=remaining_s)
        self.stop()

    def _plan_next(self, now_ns: int) -> None:
        """The next request is intended for the instant that one was settled."""
        if now_ns >= self._end_ns:
            return
        n = self._part + self._planned_count * self._parts
        self._planned_count += 1
        self._recorder.planned(self._planned_count)
        self._pool.send(n, now_ns, now_ns)


def _share(total: int, part: int, parts: int) -> int:
    """What part `part` gets when `total` is dealt out one by one."""
    return (total - part + parts - 1) // parts


def _lag_ms(lags: list[int], quantile: float) -> float | None:
    """Nearest rank in a histogram; the upper edge of the step."""
    rank = math.ceil(quantile * sum(lags))
    reached = 0
    for step, lag_count in enumerate(lags):
        reached += lag_count
        if reached >= rank > 0:
            return (step + 1) * _LAG_STEP_NS / 1e6
    return None
