"""Waiting for what comes about by itself, as long as it takes and no longer."""

import time
from collections.abc import Callable


def eventually(holds: Callable[[], object], *, within_s: float = 60.0) -> None:
    """Return as soon as `holds` does; fail if that is not within `within_s` seconds."""
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s, f"not within {within_s:g} s"
        time.sleep(0.005)
