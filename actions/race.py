"""The race during the method."""

from perfchaos.run import current

__all__ = ["finish"]


def finish(at_most_s: float) -> int:
    """Race on until all planned rounds are done; how many that were. Raises if it takes longer."""
    run = current()
    return run.require_race().finish(at_most_s=at_most_s, wait=run.go_on)
