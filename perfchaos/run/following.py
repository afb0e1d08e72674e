"""What is read of a run while it lasts, each part once: a late look costs as little as a first."""

from pathlib import Path

import numpy as np

from perfchaos.measure.recovery import NO_LOOKS, Backlog, Baseline, baseline_of
from perfchaos.measure.requests import Followed, Requests
from perfchaos.observe.queue import QueueState
from perfchaos.observe.sampler import Readings
from perfchaos.recording import Recording
from perfchaos.timeline import Phase, Span


class Following:
    """The requests of a run and the looks at its queue, as far as they are known."""

    def __init__(self, recording: Recording, queue: Path) -> None:
        self._followed = Followed(recording)
        self._queue = queue
        self._readings = Readings(queue)
        self._at_ns: list[int] = []
        self._waiting_count: list[int] = []
        self._baseline: Baseline | None = None

    def requests(self, *, until_ns: int) -> Requests:
        """What is known of the requests intended before `until_ns`."""
        return self._followed.requests(Requests, until_ns=until_ns)

    def backlog(self, *, since_ns: int = 0) -> Backlog | None:
        """The looks at the target's queue from `since_ns` on; None where nobody looks at one."""
        if not self._queue.exists():
            return None
        for reading in self._readings.new():
            state = QueueState.of(reading)
            if state is not None:
                self._at_ns.append(reading.at_ns)
                self._waiting_count.append(state.waiting)
        first = int(np.searchsorted(self._at_ns, since_ns)) if since_ns else 0
        return Backlog(
            at_ns=np.array(self._at_ns[first:], np.int64),
            waiting_count=np.array(self._waiting_count[first:], np.int64),
        )

    def baseline(self, requests: Requests, spans: tuple[Span, ...]) -> Baseline | None:
        """
        What the target was like in its baseline; None without any request.

        Once it is over, and all that came in it is known, it is what it is.
        """
        if self._baseline is not None:
            return self._baseline
        backlog = self.backlog() or NO_LOOKS
        now_ns = requests.known_until_ns
        before = backlog.of_phase(spans, Phase.BASELINE, now_ns=now_ns)
        found = baseline_of(requests.of_phase(spans, Phase.BASELINE), before)
        ends_ns = [span.end_ns for span in spans if span.phase is Phase.BASELINE]
        if all(end_ns is not None and end_ns <= now_ns for end_ns in ends_ns):
            self._baseline = found
        return found
