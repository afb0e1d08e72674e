"""
The named races, as data: how many contend for one thing, and how often.

`light` tells whether the race is set up right at all; with nothing found, `moderate` excludes a
rate of races of 1 % and more with 95 % confidence, `heavy` one of 0.5 %, `stress` one of 0.3 %.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """So many contenders in so many rounds."""

    contenders: int
    rounds: int


SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        "light": Scenario(contenders=3, rounds=100),
        "moderate": Scenario(contenders=10, rounds=300),
        "heavy": Scenario(contenders=20, rounds=600),
        "stress": Scenario(contenders=50, rounds=1_000),
    }
)
