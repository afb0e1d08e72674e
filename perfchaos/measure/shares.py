"""
Counts held against a share: one comparison for everything that asks for so many of so many.

`1 - 0.9` is a little less than a tenth, so that five failures of fifty would break a share of 0.9
in one place and keep it in another. Equality keeps the share, as it keeps a limit.
"""

from typing import overload

import numpy as np
from numpy.typing import NDArray

# Far above what floating point adds, far below what one request of a billion makes.
_DECIMALS = 6


@overload
def failures_allowed(total: int, share: float) -> int: ...
@overload
def failures_allowed(total: NDArray[np.int64], share: float) -> NDArray[np.int64]: ...


def failures_allowed(total: int | NDArray[np.int64], share: float) -> int | NDArray[np.int64]:
    """How many of `total` may fail so that at least `share` of them has not."""
    allowed = np.floor(np.round(np.multiply(total, 1 - share), _DECIMALS)).astype(np.int64)
    return int(allowed) if isinstance(total, int) else allowed


def reaches(count: int, total: int, share: float) -> bool:
    """Whether `count` of `total` is at least `share` of it; of nothing, yes."""
    return total - count <= failures_allowed(total, share)
