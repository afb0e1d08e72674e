"""
The named loads of the webhook test, as data.

`light` asks whether the target is well at all; `moderate` and `heavy` hold a rate in the middle of
the bands *warn* (100 to 500 requests/s) and *good* (500 to 1000); `stress` climbs, with random
arrivals, through *excellent* and on to where most targets break.
"""

from collections.abc import Mapping
from types import MappingProxyType

from perfchaos.workload.arrivals import Arrivals, Stage

_RAMP_S = 5.0
_HOLD_S = 30.0


def _ramp_and_hold(rate_per_s: float) -> Arrivals:
    ramp = Stage(duration_s=_RAMP_S, start_per_s=rate_per_s / 10, end_per_s=rate_per_s)
    hold = Stage(duration_s=_HOLD_S, start_per_s=rate_per_s, end_per_s=rate_per_s)
    return Arrivals(stages=(ramp, hold))


def _climb(*rates_per_s: float) -> Arrivals:
    return Arrivals(
        stages=tuple(
            Stage(duration_s=10.0, start_per_s=rate_per_s, end_per_s=rate_per_s)
            for rate_per_s in rates_per_s
        ),
        poisson=True,
    )


SCENARIOS: Mapping[str, Arrivals] = MappingProxyType(
    {
        "light": _ramp_and_hold(50.0),
        "moderate": _ramp_and_hold(300.0),
        "heavy": _ramp_and_hold(750.0),
        "stress": _climb(750.0, 1500.0, 3000.0, 6000.0),
    }
)
