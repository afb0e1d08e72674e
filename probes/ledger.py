"""
What was acknowledged against what the target holds.

Each probe waits until what was acknowledged so far has had its effect, nothing of it is pending and
two looks agree, for `drain_s` at most, and then reads the ledger of everything up to the moment it
was asked.
"""

from typing import Any

from perfchaos.ledger import Ledger, duplicated, lost, phantom, waiting
from perfchaos.run import current

_IN_ONE_BREATH_S = 1.0

__all__ = ["duplicated_count", "lost_count", "phantom_count", "waiting_count"]


def lost_count(drain_s: float = 15.0) -> list[dict[str, Any]]:
    """Acknowledged messages that neither Postgres nor the queue holds."""
    return [lost(_ledger(drain_s)).as_dict()]


def waiting_count(drain_s: float = 15.0) -> list[dict[str, Any]]:
    """Acknowledged messages that still wait in the queue: promised, and not kept yet."""
    return [waiting(_ledger(drain_s)).as_dict()]


def duplicated_count(drain_s: float = 15.0) -> list[dict[str, Any]]:
    """Messages that had their effect more than once."""
    return [duplicated(_ledger(drain_s)).as_dict()]


def phantom_count(drain_s: float = 15.0) -> list[dict[str, Any]]:
    """Refused messages that had their effect all the same."""
    return [phantom(_ledger(drain_s)).as_dict()]


def _ledger(drain_s: float) -> Ledger:
    """One for all the probes of a hypothesis, so that they speak of the same requests."""
    return current().reconcile(drain_s, within_s=_IN_ONE_BREATH_S)
