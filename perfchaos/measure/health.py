"""What the target said of its own health, held against what became of its requests."""

from collections.abc import Iterator, Sequence

import numpy as np

from perfchaos.measure.requests import Requests
from perfchaos.measure.shares import reaches
from perfchaos.observe.health import LOOK_EVERY_S, HealthState
from perfchaos.phases import Mask
from perfchaos.sqlstates import counted_by_class
from perfchaos.timeline import Phase
from perfchaos.verdict import Measurement

# Every write fails where fewer than one in so many is acknowledged, of the requests of this time
# or, where that are too few to tell, of so many.
_ONE_OF = 20
_STRETCH_NS = 500_000_000
_STRETCH_COUNT = 10

# An answer is good until the next one, but no longer: after that nobody looked.
_GOOD_FOR_NS = round((LOOK_EVERY_S + 1.0) * 1e9)

type Looks = Sequence[tuple[int, HealthState]]
type Stretch = tuple[int, int]


def healthy_while_failing(health: Looks, requests: Requests, phase: Phase) -> Measurement:
    """
    The longest time on end in which the target called itself healthy while every write failed.

    `health` are looks with their instants; what one says holds until the next. Unknown where it
    never called itself healthy though its writes succeeded: such an endpoint tells nothing.
    """
    failing = all_fail(requests)
    first_ns, last_ns = _reach(requests)
    known = [(at_ns, state) for at_ns, state in health if first_ns <= at_ns < last_ns]
    lies_ns = [
        min(to_ns, end_ns) - max(from_ns, start_ns)
        for from_ns, to_ns in _claims(health)
        for start_ns, end_ns in failing
        if max(from_ns, start_ns) < min(to_ns, end_ns)
    ]
    why = _unbelievable(known, failing, phase)
    codes = [code for _, state in health for code in state.sqlstates.split(",") if code]
    return Measurement(
        name="healthy_while_failing_s",
        phase=phase,
        value=max(lies_ns, default=0) / 1e9 if known and why is None else None,
        unit="s",
        samples=len(known),
        evidence={
            "false_looks": sum(state.healthy and _within(at_ns, failing) for at_ns, state in known),
            "unhealthy_looks": sum(not state.healthy for _, state in health),
            **({"why": why} if why else {}),
            **counted_by_class(codes),
        },
    )


def all_fail(requests: Requests) -> list[Stretch]:
    """From when to when every write failed: to the moment the first that succeeded was due."""
    failing = _covered(requests)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], failing.astype(np.int8), [0]])))
    due_ns = np.append(requests.intended_ns, _reach(requests)[1])
    return [
        (int(due_ns[start]), int(due_ns[end]))
        for start, end in zip(edges[::2], edges[1::2], strict=True)
    ]


def _covered(requests: Requests) -> Mask:
    """Whether each request lies in a stretch in which all failed."""
    due_ns, count = requests.intended_ns, len(requests.intended_ns)
    starts = np.arange(count)
    ends = np.maximum(np.searchsorted(due_ns, due_ns + _STRETCH_NS), starts + _STRETCH_COUNT)
    whole = ends <= count
    starts, ends = starts[whole], ends[whole]
    acked = np.concatenate([[0], np.cumsum(requests.acked)])
    bad = (acked[ends] - acked[starts]) * _ONE_OF < ends - starts
    # A stretch begins and ends with a failure, wherever the window that found it does.
    failed = np.flatnonzero(~requests.acked)
    first = failed[np.searchsorted(failed, starts[bad])]
    last = failed[np.searchsorted(failed, ends[bad]) - 1]
    depth = np.zeros(count + 1, np.int64)
    np.add.at(depth, first, 1)
    np.add.at(depth, last + 1, -1)
    covered: Mask = np.cumsum(depth)[:count] > 0
    return covered


def _claims(health: Looks) -> Iterator[Stretch]:
    """From when to when it called itself healthy without a break."""
    since_ns = until_ns = None
    nexts = [at_ns for at_ns, _ in health[1:]]
    for at, (at_ns, state) in enumerate(health):
        if (
            since_ns is not None
            and until_ns is not None
            and (not state.healthy or at_ns > until_ns)
        ):
            yield since_ns, min(until_ns, at_ns)
            since_ns = None
        if state.healthy:
            since_ns = at_ns if since_ns is None else since_ns
            last_ns = at_ns + round(LOOK_EVERY_S * 1e9)
            until_ns = min(nexts[at], at_ns + _GOOD_FOR_NS) if at < len(nexts) else last_ns
    if since_ns is not None and until_ns is not None:
        yield since_ns, until_ns


def _unbelievable(known: Looks, failing: Sequence[Stretch], phase: Phase) -> str | None:
    """Why the endpoint tells nothing; None if it can be believed."""
    calm = [state for at_ns, state in known if not _within(at_ns, failing)]
    healthy = sum(state.healthy for state in calm)
    # In the baseline it has to be well; later it may take its time to believe in the recovery.
    believed = reaches(healthy, len(calm), 0.5) if phase is Phase.BASELINE else healthy > 0
    if not calm or believed:
        return None
    last = next(state for state in reversed(calm) if not state.healthy)
    said = "gave no answer" if last.status is None else f"answered {last.status}"
    return (
        f"the health endpoint {said} while requests were acknowledged ({len(calm) - healthy} of "
        f"{len(calm)} looks): correct health.url in the target file, or see what ails the target"
    )


def _within(at_ns: int, stretches: Sequence[Stretch]) -> bool:
    return any(start_ns <= at_ns < end_ns for start_ns, end_ns in stretches)


def _reach(requests: Requests) -> Stretch:
    """From the first request to where their fates are known."""
    if not len(requests.intended_ns):
        return 0, 0
    return int(requests.intended_ns[0]), max(
        requests.known_until_ns, int(requests.intended_ns[-1]) + 1
    )
