"""How numbers and limits read."""

import pytest

from perfchaos.report.wording import amount, beyond, limits_of
from perfchaos.verdict import Better, Limits


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (None, "ms", "–"),
        (0.0, "ratio", "0 %"),
        (0.000404, "ratio", "0.0404 %"),
        (1.0, "ratio", "100 %"),
        (12.345, "ms", "12.3 ms"),
        (1204.2, "ms", "1,204 ms"),
        (150.0, "1/s", "150 /s"),
        (6031.0, "messages", "6,031"),
    ],
)
def test_numbers_carry_their_unit_and_no_idle_digits(
    value: float | None, unit: str, words: str
) -> None:
    assert amount(value, unit) == words


def test_limits_read_from_strict_to_lenient() -> None:
    limits = Limits(better=Better.LOWER, excellent=0, good=0.01, warn=0.2)
    assert (
        limits_of(limits, "ratio") == "excellent at most 0 %, good at most 1 %, warn at most 20 %"
    )
    assert beyond(limits, "ratio") == "critical above 20 %"


def test_a_lower_limit_is_broken_from_below() -> None:
    assert beyond(Limits(better=Better.HIGHER, warn=100), "1/s") == "critical below 100 /s"


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (1.0, "100 %"),
        (0.9997, "99.97 %"),
        (0.99999, "99.999 %"),
        (0.5, "50 %"),
        (0.0, "0 %"),
    ],
)
def test_what_is_not_all_is_never_called_100_percent(ratio: float, text: str) -> None:
    assert amount(ratio, "ratio") == text
    assert (amount(1 - ratio, "ratio") == "0 %") == (ratio == 1.0)
