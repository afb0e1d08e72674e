"""
The connections to the target, and the line of requests that wait for one.

A request given to the pool ends as exactly one sample, whatever happens. It goes out on an idle
connection, or waits in line; it is never sent twice.

A connection is opened when a request needs one and none is idle, and by then it has a request to
carry; if another came free meanwhile, it is closed again. Servers with a worker or a thread for
each connection wait on one that is silent, and everybody else's requests wait behind it.
"""

import asyncio
import contextlib
import re
import time
from collections import deque
from collections.abc import Callable
from typing import cast

from perfchaos.recording.layout import (
    MICROSECONDS_MAX,
    Failure,
    Outcome,
    Waited,
    sqlstate_flags,
)
from perfchaos.recording.writer import Recorder
from perfchaos.workload.connection import SAID_BYTES_MAX, Connection
from perfchaos.workload.dialing import Dialer, DialError
from perfchaos.workload.plan import Plan
from perfchaos.workload.rendering import Render
from perfchaos.workload.replies import HeadCache, body_of
from perfchaos.workload.tally import held_up

_SWEEP_S = 0.05
# A first request that waits so long, and so many times the usual, while connections of ours are
# idle may be waiting for just those: the server may give a worker to each.
_HELD_UP_NS = 100_000_000
_HELD_UP_TIMES = 4
_AT_ONCE_NS = 20_000_000

_ACKED = int(Outcome.ACKED)
_AS_ITS_BODY_SAYS = -1

_monotonic_ns = time.monotonic_ns


class Pool:
    """
    Sends requests and records what became of them.

    It is what its connections report to (`connection.Sender`). `settled` is called with
    the instant after a sample was recorded, if given. `counts` holds the samples by outcome. With
    `keep_spares` a connection that came too late for its request waits for the next one.
    """

    def __init__(
        self,
        plan: Plan,
        render: Render,
        *,
        connections_max: int,
        in_flight_max: int,
        keep_spares: bool = False,
        settled: Callable[[int], None] | None = None,
    ) -> None:
        self.heads = HeadCache()
        self.is_head = plan.request.method == "HEAD"
        self.reply_bytes_max = plan.reply_bytes_max
        self.received_bytes = 0
        self.sent_bytes = 0
        self.own_limit_count = 0
        self.counts = [0] * (max(Outcome) + 1)

        self._render = render
        self._settled = settled
        self._outcome_of = [int(plan.request.outcome_of(status)) for status in range(1000)]
        self._acknowledged_when = re.compile((plan.request.acknowledged_when or "").encode())
        if plan.request.acknowledged_when is not None:
            for status in plan.request.acknowledged:
                self._outcome_of[status] = _AS_ITS_BODY_SAYS
        self._timeout_ns = int(plan.request.timeout_s * 1e9)
        self._connections_max = connections_max
        self._in_flight_max = in_flight_max
        self._keep_alive = plan.keep_alive
        self._keep_spares = keep_spares
        self._idle_max_ns = int(plan.idle_max_s * 1e9)
        self.loop = asyncio.get_running_loop()
        self._dialer = Dialer(plan, self.loop)
        self._dials: set[asyncio.Task[None]] = set()
        self._connections: set[Connection] = set()
        self._idle: list[Connection] = []  # the last one used is the next: the rest may expire
        self._waiting: deque[tuple[int, int]] = deque()  # (n, intended_ns), oldest first
        self._taken_count = 0
        self._usual_ns = 0  # the service time of late, a moving average
        self._suspects: set[Connection] = set()
        self._parted_ns = 0
        self.parted_count = 0
        self.held_up_count = 0

    def record_into(self, recorder: Recorder, *, epoch_ns: int) -> None:
        """From now on samples go there. Needed before the first `send`."""
        self._write, self._epoch_ns = recorder.write, epoch_ns
        self._sweeper = self.loop.create_task(self._sweep())

    @property
    def in_flight_count(self) -> int:
        """Requests given to the pool and not recorded yet: on the wire, or in line."""
        return self._taken_count - sum(self.counts)

    def send(self, n: int, intended_ns: int, now_ns: int) -> int:
        """Sends request `n`, or puts it in line, or drops it; the instant of doing so."""
        self._taken_count += 1
        if now_ns - intended_ns > self._timeout_ns:
            self._drop(n, intended_ns, Failure.TOO_LATE)  # The generator itself is far behind.
            return _monotonic_ns()
        if self._idle:
            return self._put_on(self._idle.pop(), n, intended_ns, Waited.NO)
        if self.in_flight_count > self._in_flight_max:
            self._drop(n, intended_ns, Failure.IN_FLIGHT_BOUND)
        else:
            self._waiting.append((n, intended_ns))
            self._dial()
        return _monotonic_ns()

    async def drain(self, *, give_up: asyncio.Event) -> None:
        """Waits for what is in flight, at most the request timeout; then gives it up."""
        self._settled = lambda _: None if self.in_flight_count else give_up.set()
        if self.in_flight_count:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timeout_ns / 1e9 + _SWEEP_S):
                    await give_up.wait()
        self._expire()
        while self._waiting:
            self._drop(*self._waiting.popleft(), Failure.NOT_SENT_BEFORE_STOP)
        for connection in [c for c in self._connections if c.busy]:
            connection.give_up(Failure.STOPPED)

    async def close(self) -> None:
        """Ends all connections; nothing may be in flight."""
        self._sweeper.cancel()
        for dial in self._dials:
            dial.cancel()
        for connection in self._connections:
            connection.close()
        await asyncio.gather(self._sweeper, *self._dials, return_exceptions=True)

    # What connections report.

    def answered(self, connection: Connection, status: int) -> None:
        """The reply is complete: records it and gives the connection its next request."""
        done_ns = _monotonic_ns()
        sent_ns, intended_ns = connection.sent_ns, connection.intended_ns
        outcome = self._outcome_of[status]
        flags = connection.waited
        if outcome != _ACKED:
            if outcome == _AS_ITS_BODY_SAYS:
                outcome = self._outcome_in(connection.said)
            if outcome != _ACKED:
                flags |= sqlstate_flags(connection.said)
        self.counts[outcome] += 1
        self._write(
            intended_ns - self._epoch_ns,
            connection.n,
            (sent_ns - intended_ns) // 1000,
            (done_ns - sent_ns) // 1000,
            status,
            outcome,
            flags,
        )
        if connection.unproven:
            self._prove(connection, done_ns)
        if connection.keep_alive:
            if not self._keep_alive:
                connection.close()
            elif self._waiting:
                self._put_oldest_on(connection, done_ns)
            else:
                self._idle.append(connection)
        if self._settled is not None:
            self._settled(done_ns)

    def _outcome_in(self, said: bytes) -> int:
        """What a reply with an acknowledging status means by its body."""
        if self._acknowledged_when.search(body_of(said)):
            return _ACKED
        # Of a long one only the beginning was kept: what is looked for may have stood behind it.
        cut_off = len(said) >= SAID_BYTES_MAX
        return int(Outcome.INDETERMINATE if cut_off else Outcome.REFUSED)

    def failed(self, connection: Connection, failure: Failure) -> None:
        """The request on this connection gets no reply."""
        done_ns, sent_ns = _monotonic_ns(), connection.sent_ns
        lateness_us = (sent_ns - connection.intended_ns) // 1000
        service_us = (done_ns - sent_ns) // 1000
        self._record(
            connection.n,
            connection.intended_ns,
            failure,
            lateness_us=lateness_us,
            service_us=service_us,
            waited=connection.waited,
        )

    def closed(self, connection: Connection) -> None:
        """The connection is gone; it is replaced if a request waits."""
        if connection not in self._connections:
            return  # Closed before the dial that opened it returned.
        self._connections.remove(connection)
        self._suspects.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._dial()

    # Sending.

    def _put_on(self, connection: Connection, n: int, intended_ns: int, waited: int) -> int:
        data = self._render(n)
        if connection.send(data, n, intended_ns, waited):
            self.sent_bytes += len(data)
        else:
            # Closed by the server meanwhile. Not one byte was sent, so this is no retry.
            self._waiting.appendleft((n, intended_ns))
            self._dial()
        return connection.sent_ns

    def _put_oldest_on(self, connection: Connection, now_ns: int) -> None:
        """Gives a free connection to the request that has waited longest."""
        while self._waiting:
            n, intended_ns = self._waiting.popleft()
            if now_ns - intended_ns <= self._timeout_ns:
                self._put_on(connection, n, intended_ns, Waited.FOR_CONNECTION)
                return
            self._drop(n, intended_ns, Failure.TOO_LATE)
        if connection.unproven and not self._keep_spares:
            connection.close()  # Opened for a request that another connection has taken.
        else:
            self._idle.append(connection)

    # Connections.

    def _dial(self) -> None:
        """Opens as many connections as requests wait for, within the bound."""
        for _ in range(len(self._waiting) - len(self._dials)):
            if len(self._connections) + len(self._dials) >= self._connections_max:
                return
            self._start_dial()

    def _start_dial(self) -> None:
        self._dials.add(self.loop.create_task(self._dial_once()))

    async def _dial_once(self) -> None:
        failure = Failure.CLOSED_UNUSED
        connection = None
        try:
            connection = await self._dialer.connect(self)
        except DialError as error:
            failure = error.failure
        self._dials.remove(cast("asyncio.Task[None]", asyncio.current_task()))
        if connection is not None and connection.keep_alive:
            self._connections.add(connection)
            self._put_oldest_on(connection, _monotonic_ns())
        elif self._waiting:
            # Charged to who has waited longest: nothing of it was sent.
            self._drop(*self._waiting.popleft(), failure)
        self._dial()

    async def _sweep(self) -> None:
        """Ends what has taken too long; a timeout is noticed at most 50 ms late."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            self._expire()

    def _expire(self) -> None:
        now_ns = _monotonic_ns()
        for connection in [c for c in self._idle if c.sent_ns < now_ns - self._idle_max_ns]:
            connection.close()
        if self._idle:
            self._part_with_idle(now_ns)
        oldest_ns = now_ns - self._timeout_ns
        for connection in [c for c in self._connections if c.busy and c.sent_ns < oldest_ns]:
            connection.give_up(Failure.TIMEOUT)
        while self._waiting and self._waiting[0][1] < oldest_ns:
            self._drop(*self._waiting.popleft(), Failure.TOO_LATE)

    # Whether idle connections hold requests up.

    def _part_with_idle(self, now_ns: int) -> None:
        """Closes all idle connections if a first request on another may be waiting for that."""
        patience_ns = max(_HELD_UP_NS, _HELD_UP_TIMES * self._usual_ns)
        suspects = {
            c
            for c in self._connections
            if c.busy and c.unproven and c.sent_ns < now_ns - patience_ns
        }
        if suspects - self._suspects:
            self._suspects |= suspects
            self._parted_ns = now_ns
            self.parted_count += 1
            for connection in list(self._idle):
                connection.close()

    def _prove(self, connection: Connection, done_ns: int) -> None:
        """Takes note of the first reply on a connection: the server has turned to it."""
        connection.unproven = False
        if connection in self._suspects:
            self._suspects.remove(connection)
            self.held_up_count += done_ns - self._parted_ns < _AT_ONCE_NS
            if held_up(self.held_up_count, self.parted_count):
                self._keep_alive = False  # This server waits on idle connections: keep none.
        else:
            took_ns = done_ns - connection.sent_ns
            self._usual_ns += (took_ns - self._usual_ns) // (8 if self._usual_ns else 1)

    # Recording.

    def _drop(self, n: int, intended_ns: int, failure: Failure) -> None:
        """Records a request of which nothing was sent."""
        lateness_us = min((_monotonic_ns() - intended_ns) // 1000, MICROSECONDS_MAX)
        waited = Waited.FOR_CONNECTION
        self._record(n, intended_ns, failure, lateness_us=lateness_us, service_us=0, waited=waited)

    def _record(
        self,
        n: int,
        intended_ns: int,
        failure: Failure,
        *,
        lateness_us: int,
        service_us: int,
        waited: int,
    ) -> None:
        outcome = failure.outcome
        self.counts[outcome] += 1
        self.own_limit_count += failure is Failure.OWN_LIMIT
        at_ns = intended_ns - self._epoch_ns
        self._write(at_ns, n, lateness_us, service_us, failure, outcome, waited)
        if self._settled is not None:
            self.loop.call_soon(self._settled, _monotonic_ns())
