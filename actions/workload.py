"""The load during the method."""

from perfchaos.run import current

__all__ = ["go_on"]


def go_on(duration_s: float) -> None:
    """Let the load go on undisturbed for `duration_s` seconds: how the target recovers."""
    current().go_on(duration_s)
