"""
The release: one last byte on each of many connections, as close together as one core can.

All that remains of each request is one byte; the loop does nothing but send it and read the clock.
On loopback a send runs the receiver's part of the stack, about 9 µs, which is the floor.
"""

import gc
import os
import select
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from perfchaos.race.lane import Lane
from perfchaos.recording.layout import Failure

_monotonic_ns = time.monotonic_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """
    What became of one released request.

    `code` is its status, below 100 a `Failure`; `sent_ns` None if even the byte was not taken.
    """

    sent_ns: int | None
    done_ns: int
    code: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A release: `overlapped` if the last byte was out before any reply was in."""

    released_ns: int
    overlapped: bool
    replies: tuple[Reply, ...]


class AnsweredEarly(Exception):
    """The target spoke before any request was complete, so it cannot be made to race with it."""


def release(lanes: Sequence[Lane], lasts: Sequence[bytes], *, timeout_s: float) -> Released:
    """
    Send `lasts`, one on each of the armed `lanes`, in this order; then wait for all replies.

    Raises AnsweredEarly if there is a reply before there is a request.
    """
    waiting = {lane.wire.fileno(): index for index, lane in enumerate(lanes)}
    poll = select.poll()
    for descriptor in waiting:
        poll.register(descriptor, select.POLLIN)
    if any(lanes[waiting[descriptor]].has_spoken() for descriptor, _ in poll.poll(0)):
        raise AnsweredEarly
    sends = [lane.wire.send for lane in lanes]
    with _undisturbed():
        released_ns, sent_ns = _send_all(sends, lasts)
        overlapped = not poll.poll(0)
    ends = _collect(lanes, poll, waiting, timeout_s=timeout_s)
    return Released(
        released_ns=released_ns,
        overlapped=overlapped and None not in sent_ns,
        replies=tuple(
            Reply(sent_ns=sent, done_ns=done_ns, code=int(result), body=lane.body)
            for lane, sent, (done_ns, result) in zip(lanes, sent_ns, ends, strict=True)
        ),
    )


@contextmanager
def _undisturbed() -> Iterator[None]:
    """
    Neither the garbage collector nor, where we may ask for it, another process gets in between.

    A server that is woken by the first byte would otherwise be let run at once, on this very core
    if there is no better, and the last bytes would wait until it is done.
    """
    gc.disable()
    before = _take_precedence()
    try:
        yield
    finally:
        if before is not None:
            os.sched_setscheduler(0, *before)
        gc.enable()


def _take_precedence() -> "tuple[int, os.sched_param] | None":
    """Real-time scheduling for this process; how it was scheduled before, None if it still is."""
    if sys.platform != "linux":
        return None
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return None
    return before


def _send_all(
    sends: Sequence[Callable[[bytes], int]], lasts: Sequence[bytes]
) -> tuple[int, list[int | None]]:
    """The instant before the first send, and the one after each."""
    sent_ns: list[int | None] = []
    note = sent_ns.append
    pairs = list(zip(sends, lasts, strict=True))
    now_ns = _monotonic_ns
    released_ns = now_ns()
    for send, last in pairs:
        try:
            send(last)
        except OSError:
            note(None)
        else:
            note(now_ns())
    return released_ns, sent_ns


def _collect(
    lanes: Sequence[Lane], poll: select.poll, waiting: dict[int, int], *, timeout_s: float
) -> list[tuple[int, int | Failure]]:
    """When each reply was complete, and its status or failure; those too late are given up."""
    deadline_ns = _monotonic_ns() + round(timeout_s * 1e9)
    ends: list[tuple[int, int | Failure]] = [(deadline_ns, Failure.TIMEOUT)] * len(lanes)
    while waiting and (left_ns := deadline_ns - _monotonic_ns()) > 0:
        events = poll.poll(left_ns / 1e6)
        now_ns = _monotonic_ns()
        for descriptor, _ in events:
            index = waiting[descriptor]
            result = lanes[index].read()
            if result is not None:
                ends[index] = (now_ns, result)
                poll.unregister(descriptor)
                del waiting[descriptor]
    for index in waiting.values():
        lanes[index].close()
    return ends
