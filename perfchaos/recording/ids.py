"""
The ids of a run's requests: pure functions of the run's seed and the number of the request.

An id is a lower-case UUID. Its last 12 hex digits are the number, its first 20 come from the
seed, so the rows of a database can be turned back into numbers, and a run's ids form one range.
A run may send several loads, such as the steps of a search: each is a series of its own, with a
part of that range for itself.
The version digit is 4, not the more truthful 8, because many systems accept no other.
"""

import hashlib
from binascii import unhexlify
from functools import lru_cache

NUMBER_BITS = 48
SERIES_BITS = 16
SERIES_MAX = (1 << SERIES_BITS) - 1
_SHIFT = NUMBER_BITS - SERIES_BITS


def id_of(seed: int, n: int) -> str:
    """The id of request `n`. Raises ValueError for a number that does not fit in 48 bits."""
    if not 0 <= n < 1 << NUMBER_BITS:
        raise ValueError(f"request number {n} does not fit in {NUMBER_BITS} bits")
    return f"{prefix_of(seed)}{n:012x}"


def first_number(series: int) -> int:
    """What is added to the numbers within a series to give those of the run."""
    return series << _SHIFT


def number_of(seed: int, text: str) -> int | None:
    """The number in an id of this run, None if the text is not one of them."""
    if len(text) != 36 or text[:24].lower() != prefix_of(seed):
        return None
    try:
        return int.from_bytes(unhexlify(text[24:]))  # `int` itself takes signs and underscores.
    except ValueError:
        return None


def first_and_last(seed: int) -> tuple[str, str]:
    """The bounds of the run's ids, both inclusive, for a range query on a uuid column."""
    return id_of(seed, 0), id_of(seed, (1 << NUMBER_BITS) - 1)


@lru_cache(maxsize=16)  # A ledger asks for the same one a million times.
def prefix_of(seed: int) -> str:
    """What all ids of a run begin with: 24 characters, the last of them a hyphen."""
    digest = hashlib.sha256(f"perfchaos:{seed}".encode()).hexdigest()
    variant = "89ab"[int(digest[15], 16) % 4]
    return f"{digest[:8]}-{digest[8:12]}-4{digest[12:15]}-{variant}{digest[16:19]}-"
