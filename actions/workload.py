"""The load during the method."""

from collections.abc import Sequence

from perfchaos.run import current
from perfchaos.run.breaking_point import search_breaking_point
from perfchaos.workload.capacity import SearchPlan

__all__ = ["find_capacity", "go_on", "play_scenario"]


def go_on(duration_s: float) -> None:
    """Let the load go on undisturbed for `duration_s` seconds: how the target recovers."""
    current().go_on(duration_s)


def play_scenario() -> None:
    """Live through the scenario that the workload was given: its ramp, then its load."""
    current().play_scenario()


def find_capacity(
    promises: Sequence[str],
    start_per_s: float = 50.0,
    max_per_s: float = 25_600.0,
    step_s: float = 5.0,
    hold_s: float = 15.0,
) -> None:
    """
    Search for the greatest rate at which the target keeps all `promises`.

    A promise reads as a threshold of `perfchaos load` does: "p99<500ms", "errors<1%". A step lasts
    `step_s` seconds and the hold that confirms the answer `hold_s`.
    """
    search = SearchPlan(start_per_s=start_per_s, max_per_s=max_per_s, step_s=step_s, hold_s=hold_s)
    search_breaking_point(current(), promises, search)
