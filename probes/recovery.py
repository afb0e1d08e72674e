"""
How long the target took to recover, from `since`: "fault", the moment it was harmed, or "heal".

A restart is over as soon as the server is back, so its times count from the fault. A fault that is
held for a while says with its duration when the target can recover at all: its times count from the
heal. Each value is the worst of all recoveries of the run. What did not recover is at least as
long as it was watched: that breaks a limit which is shorter, and proves nothing about a longer one.
"""

from typing import Any

from perfchaos.measure import times
from perfchaos.run import current
from perfchaos.run.recovering import recovering

__all__ = [
    "abrupt_difference",
    "backlog_drain",
    "first_write",
    "latency_recovery",
    "recovery_time",
    "success_ratio",
]


def first_write(since: str = "fault") -> list[dict[str, Any]]:
    """T1: seconds until the first write was committed through the application."""
    found = recovering(current(), since=since)
    return [times.first_write(found.recoveries).as_dict()]


def recovery_time(since: str = "fault") -> list[dict[str, Any]]:
    """T2, the recovery time: seconds until 99.9 % of the requests succeeded and went on to."""
    found = recovering(current(), since=since)
    return [times.recovery_time(found.recoveries).as_dict()]


def latency_recovery(since: str = "fault") -> list[dict[str, Any]]:
    """T3: seconds until 95 % of the requests were answered as fast as in the baseline."""
    found = recovering(current(), since=since)
    return [times.latency_recovery(found.recoveries).as_dict()]


def backlog_drain(since: str = "fault") -> list[dict[str, Any]]:
    """T4: seconds until no more requests and messages waited than in the baseline."""
    found = recovering(current(), since=since)
    return [times.backlog_drain(found.recoveries).as_dict()]


def success_ratio(since: str = "fault") -> list[dict[str, Any]]:
    """The share of the requests that was acknowledged after the recovery (0 to 1)."""
    found = recovering(current(), since=since)
    return [times.success_ratio(found.requests, found.recoveries).as_dict()]


def abrupt_difference() -> list[dict[str, Any]]:
    """Seconds that recovering from a crash takes longer than from the restart paired with it."""
    found = recovering(current(), since="fault")
    return [times.abrupt_difference(found.recoveries).as_dict()]
