"""
SQLSTATEs: the codes by which PostgreSQL names the reason of a failure, and their classes.

The first two characters of the five are the class (PostgreSQL documentation, appendix A). A service
that passes the code on names it in the body of its reply, in whatever words its driver has for it:
`"sqlstate": "57P01"` in JSON, `(SQLSTATE 57P01)` of pgx, `SQLSTATE[57P01]` of PDO,
`SQLState: 57P01` of JDBC.
"""

import re
from collections.abc import Sequence

CLASSES = {
    "01": "warning",
    "02": "no data",
    "03": "statement not yet complete",
    "08": "connection",
    "09": "triggered action",
    "0A": "feature not supported",
    "0B": "invalid transaction initiation",
    "0F": "locator",
    "0L": "invalid grantor",
    "0P": "invalid role",
    "0Z": "diagnostics",
    "10": "XQuery error",
    "20": "case not found",
    "21": "cardinality violation",
    "22": "data",
    "23": "integrity constraint",
    "24": "invalid cursor state",
    "25": "transaction state",
    "26": "invalid statement name",
    "27": "triggered data change",
    "28": "authorization",
    "2B": "dependent privileges",
    "2D": "transaction termination",
    "2F": "routine",
    "34": "invalid cursor name",
    "38": "external routine",
    "39": "external routine invocation",
    "3B": "savepoint",
    "3D": "invalid catalog name",
    "3F": "invalid schema name",
    "40": "rollback",
    "42": "syntax or access rule",
    "44": "check option",
    "53": "resources",
    "54": "limit exceeded",
    "55": "prerequisite",
    "57": "operator intervention",
    "58": "system",
    "72": "snapshot",
    "F0": "configuration file",
    "HV": "foreign data wrapper",
    "P0": "PL/pgSQL",
    "XX": "internal",
}

_NAMED = re.compile(rb"(?i:sqlstate)\W{0,6}([0-9A-Z]{5})(?![0-9A-Za-z])")


def sqlstates_in(text: bytes) -> tuple[str, ...]:
    """The codes that `text` names, each once, in the order of their first mention."""
    codes = (code.decode() for code in _NAMED.findall(text))
    return tuple(dict.fromkeys(code for code in codes if code[:2] in CLASSES))


def class_label(code: str) -> str:
    """The class of a code, or of two characters, in words: `sqlstate 57 operator intervention`."""
    return f"sqlstate {code[:2]} {CLASSES.get(code[:2], '')}".rstrip()


def counted_by_class(codes: Sequence[str]) -> dict[str, str]:
    """Counts of SQLSTATEs by class: `sqlstate 57 operator intervention: 3 (57P01)`."""
    found: dict[str, str] = {}
    for prefix in sorted({code[:2] for code in codes}):
        inside = [code for code in codes if code[:2] == prefix]
        found[class_label(prefix)] = f"{len(inside)} ({', '.join(sorted(set(inside)))})"
    return found
