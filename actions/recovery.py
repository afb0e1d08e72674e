"""The load while the target recovers."""

from perfchaos.run import current
from perfchaos.run.recovering import go_on_until_recovered

__all__ = ["watch"]


def watch(at_most_s: float, since: str = "fault") -> bool:
    """
    Let the load go on until the target has recovered in every respect, for `at_most_s` at most.

    Whether it has. It fails nothing if not: the measurements tell what is missing.
    """
    return go_on_until_recovered(current(), since=since, at_most_s=at_most_s)
