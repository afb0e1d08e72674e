"""
Thresholds: the tolerances of a steady-state hypothesis.

A tolerance names the limit of every band it knows, in the unit of the measurement, and how many
samples it takes to prove anything:

    tolerance:
      type: probe
      name: at most one in a hundred
      provider:
        type: python
        module: probes.band
        func: at_most
        arguments: {excellent: 0, good: 0.01, warn: 0.2, samples_min: 1000}

A share, such as an error ratio, is called good or excellent only if its samples can prove the
limit: so many that, with 95 % confidence, one would have been otherwise if it were broken. That is
299 for one in a hundred and 2,995 for one in a thousand. With fewer it is `warn` from `samples_min`
on, and where that is not given `warn` takes its own proof. The verdict says how many it would take.

The hypothesis holds while every measurement is excellent, good or warn. Beyond the last limit is
critical; too few samples, or none, is unknown; both deviate. An exception in a tolerance is a
deviation too, so a mistake here fails closed. What is measured of a thing that the target does not
have, by its own file, is not asked: the verdict says so, and it decides nothing.
"""

from perfchaos.run import asked_by, current
from perfchaos.verdict import Better, Limits, Measurement, NotAsked

__all__ = ["at_least", "at_most"]


def at_most(
    value: list[dict[str, object]] | None = None,
    excellent: float | None = None,
    good: float | None = None,
    warn: float | None = None,
    samples_min: int | None = None,
) -> bool:
    """Whether every measurement in `value` keeps the last of these upper limits."""
    limits = Limits(
        better=Better.LOWER, excellent=excellent, good=good, warn=warn, samples_min=samples_min
    )
    return _all_pass(value, limits)


def at_least(
    value: list[dict[str, object]] | None = None,
    excellent: float | None = None,
    good: float | None = None,
    warn: float | None = None,
    samples_min: int | None = None,
) -> bool:
    """Whether every measurement in `value` keeps the last of these lower limits."""
    limits = Limits(
        better=Better.HIGHER, excellent=excellent, good=good, warn=warn, samples_min=samples_min
    )
    return _all_pass(value, limits)


def _all_pass(value: list[dict[str, object]] | None, limits: Limits) -> bool:
    run, measured, probe = current(), [], ""
    for item in value or ():
        plain, probe = asked_by(item)
        if (moot := NotAsked.from_dict(plain)) is not None:
            run.not_asked[moot.name] = moot
        else:
            measured.append(Measurement.from_dict(plain))
    judgements = run.judge(measured, limits, probe=probe)
    return bool(value) and all(judgement.band.passes for judgement in judgements)
