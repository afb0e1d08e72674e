import asyncio
import sys
import time
from collections.abc import Callable

import pytest
import uvloop

from perfchaos.workload.pacer import LoopTimer, Timer, timer

MakeTimer = Callable[[asyncio.AbstractEventLoop, Callable[[], None]], Timer]


def fired_at(make: MakeTimer, delays_ns: list[int]) -> list[int]:
    """How late the timer fired for each of the delays, armed one after the other."""

    async def body() -> list[int]:
        loop = asyncio.get_running_loop()
        fired = asyncio.Event()
        pace = make(loop, fired.set)
        lateness = []
        for delay_ns in delays_ns:
            fired.clear()
            at_ns = time.monotonic_ns() + delay_ns
            pace.arm(at_ns)
            await asyncio.wait_for(fired.wait(), 10)
            lateness.append(time.monotonic_ns() - at_ns)
        pace.close()
        return lateness

    return uvloop.run(body())


@pytest.mark.parametrize("make", [timer, LoopTimer])
def test_a_timer_fires_once_for_each_arming_and_never_early(make: MakeTimer) -> None:
    lateness = fired_at(make, [3_000_000, 0, 500_000, 10_000_000, -1_000_000])
    assert len(lateness) == 5
    assert all(late_ns >= 0 for late_ns in lateness)


@pytest.mark.parametrize("make", [timer, LoopTimer])
def test_arming_anew_replaces_the_instant(make: MakeTimer) -> None:
    async def body() -> list[int]:
        loop = asyncio.get_running_loop()
        fired_ns: list[int] = []
        fired = asyncio.Event()

        def due() -> None:
            fired_ns.append(time.monotonic_ns())
            fired.set()

        pace = make(loop, due)
        begun_ns = time.monotonic_ns()
        pace.arm(begun_ns + 1_000_000)
        pace.arm(begun_ns + 20_000_000)
        await asyncio.wait_for(fired.wait(), 10)
        pace.close()
        return [at_ns - begun_ns for at_ns in fired_ns]

    fired_ns = uvloop.run(body())
    assert len(fired_ns) == 1
    assert fired_ns[0] >= 20_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's timer is Linux's")
def test_on_linux_the_kernel_keeps_the_time() -> None:
    async def body() -> str:
        pace = timer(asyncio.get_running_loop(), lambda: None)
        pace.close()
        return type(pace).__name__

    assert uvloop.run(body()) == "_KernelTimer"
