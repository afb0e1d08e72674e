"""How figures read: short, and never more than is so."""

import math

import pytest

from perfchaos.figures import amount, as_written, number


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (None, "ms", "–"),
        (0.0, "ratio", "0 %"),
        (0.000404, "ratio", "0.0404 %"),
        (1.0, "ratio", "100 %"),
        (12.345, "ms", "12.3 ms"),
        (9.999, "ms", "10 ms"),
        (1204.2, "ms", "1,204 ms"),
        (150.0, "1/s", "150 /s"),
        (2.5, "times", "2.5x"),
        (6031.0, "messages", "6,031"),
        (1.0, "", "1"),
    ],
)
def test_numbers_carry_their_unit_and_no_idle_digits(
    value: float | None, unit: str, words: str
) -> None:
    assert amount(value, unit) == words


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1.0, "100 %"),
        (0.9997, "99.97 %"),
        (0.99999, "99.999 %"),
        (1 - 1e-12, "99.9999999999 %"),
        (0.5, "50 %"),
        (1e-9, "0.0000001 %"),
        (0.0, "0 %"),
    ],
)
def test_what_is_not_all_never_reads_like_all_nor_what_is_not_none_like_none(
    ratio: float, words: str
) -> None:
    assert amount(ratio, "ratio") == words


@pytest.mark.parametrize(
    ("value", "limit", "words"),
    [
        (500.0, 500.0, "500"),
        (500.04, 500.0, "500.04"),
        (499.96, 500.0, "499.96"),
        (math.nextafter(500.0, 1000.0), 500.0, "500.0000000000001"),
        (0.3333, 0.3333, "0.3333"),
        (1204.4, 1204.6, "1,204"),
        (1204.7, 1204.6, "1,205"),
        (7.0, 500.0, "7"),
    ],
)
def test_rounding_never_crosses_a_limit(value: float, limit: float, words: str) -> None:
    assert number(value, apart_from=[limit]) == words
    shown = float(words.replace(",", ""))
    assert (shown > limit, shown < limit) == (value > limit, value < limit)


def test_a_limit_reads_as_it_was_written() -> None:
    assert as_written(0.9999, "ratio") == "99.99 %"
    assert as_written(0.07, "ratio") == "7 %"
    assert as_written(1234.5, "ms") == "1,234.5 ms"
