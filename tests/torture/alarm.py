"""A probe that is set off from outside, and an action that does not hear."""

import time
from contextlib import suppress
from pathlib import Path

from perfchaos.errors import PerfchaosError
from perfchaos.faults import Toxic, proxied
from perfchaos.run import current


def level(path: str) -> float:
    """What stands in the file; nothing before it is there."""
    try:
        return float(Path(path).read_text())
    except (FileNotFoundError, ValueError):
        return 0.0


def block(duration_s: float) -> None:
    """Hold a fault the way a careless action does: asleep, and deaf to our own errors."""
    run = current()
    silent = Toxic(on=proxied(run.target, "redis"), type="timeout", attributes={"timeout": 0})
    with run.outage(silent, at_most_s=duration_s + 5), suppress(PerfchaosError):
        time.sleep(duration_s)
