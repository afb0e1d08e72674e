"""For how long sessions and clients have not been used, as looks keep it."""

from collections.abc import Iterable

# Who was used within the last second is in use; of the others it is kept for how long not.
USED_WITHIN_S = 1.0


def unused(seconds: Iterable[float]) -> tuple[float, ...]:
    """Those of `seconds` that are above a second, in tenths, the longest first."""
    return tuple(sorted((round(s, 1) for s in seconds if s > USED_WITHIN_S), reverse=True))
