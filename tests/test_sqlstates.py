"""A service names its SQLSTATE in its driver's words, and nothing else is taken for one."""

import pytest

from perfchaos.sqlstates import class_label, sqlstates_in


@pytest.mark.parametrize(
    ("said", "codes"),
    [
        (b'{"error": "away", "sqlstate": "57P01"}', ("57P01",)),
        (b'{"SQLSTATE" : "08006"}', ("08006",)),
        (b"FATAL: terminating connection (SQLSTATE 57P01)", ("57P01",)),
        (b"SQLSTATE[25006]: Read only sql transaction", ("25006",)),
        (b"org.postgresql.util.PSQLException; SQLState: 53300", ("53300",)),
        (b'{"sqlstate": "57P03", "cause": {"sqlState": "08006"}, "sqlstate":"57P03"}',
         ("57P03", "08006")),
        (b'{"sqlstate": null}', ()),
        (b"SQLSTATE error", ()),
        (b"SQLSTATE: HELLO", ()),
        (b"SQLSTATE 57P012", ()),
        (b"order 57P01", ()),
        (b"", ()),
    ],
)  # fmt: skip
def test_codes_are_those_that_are_named_as_such(said: bytes, codes: tuple[str, ...]) -> None:
    assert sqlstates_in(said) == codes


def test_class_is_told_in_words() -> None:
    assert class_label("57P01") == class_label("57") == "sqlstate 57 operator intervention"
