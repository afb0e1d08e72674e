"""
Waking the loop at the right instant.

The kernel's timer descriptor is two to five times more punctual than an event loop's own timers,
which count in milliseconds. It is armed for one absolute instant at a time: a periodic one would
have to be read at every tick.
"""

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from typing import Protocol

_TFD_TIMER_ABSTIME = 1


class Timer(Protocol):
    """Calls back once at the armed instant or a little later, never earlier."""

    def arm(self, at_ns: int) -> None: ...

    def close(self) -> None: ...


def timer(loop: asyncio.AbstractEventLoop, due: Callable[[], None]) -> Timer:
    """The most punctual timer this platform has; `due` is called in the loop."""
    if sys.platform == "linux":
        return _KernelTimer(loop, due)
    else:  # noqa: RET505 - mypy sees one platform at a time
        return LoopTimer(loop, due)


class LoopTimer:
    """The loop's own timer: punctual to about a millisecond, on every platform."""

    def __init__(self, loop: asyncio.AbstractEventLoop, due: Callable[[], None]) -> None:
        self._loop, self._due = loop, due
        self._handle: asyncio.Handle | None = None

    def arm(self, at_ns: int) -> None:
        self.close()
        delay_s = (at_ns - time.monotonic_ns()) / 1e9
        self._handle = self._loop.call_later(max(delay_s, 0.0), self._check, at_ns)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _check(self, at_ns: int) -> None:
        if time.monotonic_ns() < at_ns:
            self.arm(at_ns)  # libuv rounds to milliseconds and may be early.
        else:
            self._due()


if sys.platform == "linux":

    class _KernelTimer:
        def __init__(self, loop: asyncio.AbstractEventLoop, due: Callable[[], None]) -> None:
            self._loop, self._due = loop, due
            self._descriptor = _timerfd_create()
            loop.add_reader(self._descriptor, self._read)

        def arm(self, at_ns: int) -> None:
            _timerfd_settime(self._descriptor, max(at_ns, 1))

        def close(self) -> None:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)

        def _read(self) -> None:
            try:
                os.read(self._descriptor, 8)
            except BlockingIOError:
                return  # Armed anew between the wake-up and this read.
            self._due()

    if sys.version_info >= (3, 13):

        def _timerfd_create() -> int:
            return os.timerfd_create(time.CLOCK_MONOTONIC, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC)

        def _timerfd_settime(descriptor: int, at_ns: int) -> None:
            os.timerfd_settime_ns(descriptor, flags=_TFD_TIMER_ABSTIME, initial=at_ns)

    else:
        _libc = ctypes.CDLL(None, use_errno=True)

        class _Timespec(ctypes.Structure):
            _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))

        class _Itimerspec(ctypes.Structure):
            _fields_ = (("interval", _Timespec), ("value", _Timespec))

        def _timerfd_create() -> int:
            descriptor: int = _libc.timerfd_create(
                time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC
            )
            if descriptor < 0:
                raise OSError(ctypes.get_errno(), "timerfd_create failed")
            return descriptor

        def _timerfd_settime(descriptor: int, at_ns: int) -> None:
            seconds, nanoseconds = divmod(at_ns, 1_000_000_000)
            setting = _Itimerspec(_Timespec(0, 0), _Timespec(seconds, nanoseconds))
            if _libc.timerfd_settime(descriptor, _TFD_TIMER_ABSTIME, ctypes.byref(setting), None):
                raise OSError(ctypes.get_errno(), "timerfd_settime failed")
