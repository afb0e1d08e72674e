"""How values and limits read."""

from perfchaos.report.wording import beyond, limits_of, value_of
from perfchaos.verdict import Better, Limits, Measurement, judge


def test_limits_read_from_strict_to_lenient() -> None:
    limits = Limits(better=Better.LOWER, excellent=0, good=0.01, warn=0.2)
    assert (
        limits_of(limits, "ratio") == "excellent at most 0 %, good at most 1 %, warn at most 20 %"
    )
    assert beyond(limits, "ratio") == "critical above 20 %"


def test_a_lower_limit_is_broken_from_below() -> None:
    assert beyond(Limits(better=Better.HIGHER, warn=100), "1/s") == "critical below 100 /s"


def test_limits_read_as_they_were_written() -> None:
    limits = Limits(better=Better.HIGHER, good=0.9999, warn=0.07)
    assert limits_of(limits, "ratio") == "good at least 99.99 %, warn at least 7 %"
    assert beyond(Limits(better=Better.LOWER, good=1234.5), "ms") == "critical above 1,234.5 ms"


def test_a_value_beyond_a_limit_does_not_read_like_the_limit() -> None:
    limits = Limits(better=Better.LOWER, good=0.01, warn=0.2)
    measurement = Measurement(
        name="error_ratio", phase=None, value=0.200_04, unit="ratio", samples=5000
    )
    assert value_of(judge(measurement, limits)) == "20.004 %"
