"""
What was acknowledged against what the target holds.

Each probe waits until what was acknowledged so far has had its effect, nothing of it is pending and
two looks agree, for `drain_s` at most, and then reads the ledger of everything up to the moment it
was asked.
"""

from typing import Any

from perfchaos.ledger import duplicated, lost, phantom, waiting
from perfchaos.run import current

__all__ = ["duplicated_count", "lost_count", "phantom_count", "waiting_count"]


def lost_count(drain_s: float = 15.0) -> list[dict[str, Any]]:
    """Acknowledged messages that neither Postgres nor the queue holds."""
    return [lost(current().reconcile(drain_s)).as_dict()]


def waiting_count(drain_s: float = 15.0) -> list[dict[str, Any]]:
    """Acknowledged messages that still wait in the queue: promised, and not kept yet."""
    return [waiting(current().reconcile(drain_s)).as_dict()]


def duplicated_count(drain_s: float = 15.0) -> list[dict[str, Any]]:
    """Messages that had their effect more than once."""
    return [duplicated(current().reconcile(drain_s)).as_dict()]


def phantom_count(drain_s: float = 15.0) -> list[dict[str, Any]]:
    """Refused messages that had their effect all the same."""
    return [phantom(current().reconcile(drain_s)).as_dict()]
