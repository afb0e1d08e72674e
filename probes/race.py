"""
What came of the rounds of a race: one measurement for each phase lived through.

Each probe asks the database about all rounds so far, and waits for what may still come (the effect
of a win, the fate of a request without an answer) for `drain_s` at most.
"""

from typing import Any

from perfchaos.race import measuring
from perfchaos.run import current

__all__ = ["effective_round_count", "race_ratio", "win_ratio"]


def win_ratio(phases: list[str] | None = None, drain_s: float = 5.0) -> list[dict[str, Any]]:
    """The share of the effective rounds with exactly one winner (0 to 1)."""
    return current().measure_race(measuring.win_ratio, phases, drain_s=drain_s)


def race_ratio(phases: list[str] | None = None, drain_s: float = 5.0) -> list[dict[str, Any]]:
    """The share of the rounds that prove a race condition (0 to 1)."""
    return current().measure_race(measuring.race_ratio, phases, drain_s=drain_s)


def effective_round_count(
    phases: list[str] | None = None, drain_s: float = 5.0
) -> list[dict[str, Any]]:
    """How many rounds had all contenders at the server at once."""
    return current().measure_race(measuring.effective_round_count, phases, drain_s=drain_s)
