"""The load during the method."""

from perfchaos.run import current

__all__ = ["go_on", "play_scenario"]


def go_on(duration_s: float) -> None:
    """Let the load go on undisturbed for `duration_s` seconds: how the target recovers."""
    current().go_on(duration_s)


def play_scenario() -> None:
    """Live through the scenario that the workload was given: its ramp, then its load."""
    current().play_scenario()
