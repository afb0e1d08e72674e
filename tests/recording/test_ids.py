import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfchaos.recording.ids import first_and_last, id_of, number_of

SEEDS = st.integers(0, 2**63 - 1)
NUMBERS = st.integers(0, 2**48 - 1)


@given(seed=SEEDS, n=NUMBERS)
def test_an_id_gives_its_number_back(seed: int, n: int) -> None:
    assert number_of(seed, id_of(seed, n)) == n
    assert number_of(seed, id_of(seed, n).upper()) == n


@given(seed=SEEDS, n=NUMBERS)
def test_an_id_is_a_valid_lower_case_uuid(seed: int, n: int) -> None:
    text = id_of(seed, n)
    assert str(uuid.UUID(text)) == text
    assert uuid.UUID(text).version == 4
    assert uuid.UUID(text).variant == uuid.RFC_4122


@given(seed=SEEDS, n=NUMBERS)
def test_the_ids_of_a_run_lie_between_the_first_and_the_last(seed: int, n: int) -> None:
    first, last = first_and_last(seed)
    assert first <= id_of(seed, n) <= last


@pytest.mark.parametrize(
    "text",
    ["", "hello", id_of(2, 5), id_of(1, 5)[:-1], id_of(1, 5) + "0", id_of(1, 5)[:-1] + "g"],
)
def test_what_is_not_of_this_run_has_no_number(text: str) -> None:
    assert number_of(1, text) is None


@given(text=st.text(max_size=40))
def test_any_text_is_a_number_or_none(text: str) -> None:
    assert number_of(1, text) is None


@pytest.mark.parametrize("n", [-1, 2**48])
def test_a_number_beyond_48_bits_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match="48 bits"):
        id_of(1, n)


def test_ids_are_fixed_for_ever() -> None:
    """Rows of old runs must stay readable."""
    assert id_of(1, 2) == "84f8d9b0-7cce-4de5-841b-000000000002"
    assert re.fullmatch(r"[0-9a-f-]{24}00000000000a", id_of(7, 10))
