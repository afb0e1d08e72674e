"""
The bytes of a recording: one header of 64 bytes, then records of 24 bytes, little-endian.

A record is written once, when the fate of its request is known. `outcome` is written after the
fields before it and is never zero, so a zero outcome marks the end of what is complete.
"""

import struct
from enum import IntEnum

from perfchaos.sqlstates import CLASSES, sqlstates_in

MAGIC = b"pcsample"
VERSION = 1

# magic, version, part, parts, series, epoch (monotonic), epoch (wall), planned requests so far
HEADER = struct.Struct("<8sHHHHqqQ24x")
PLANNED_AT = HEADER.size - 32  # where the count of planned requests stands
PLANNED = struct.Struct("<Q")

# intended_ns since the epoch, n within the series, lateness_us, service_us, code, outcome, flags
RECORD = struct.Struct("<qIIIHBB")
FIELDS = (
    ("intended_ns", "<i8"),
    ("n", "<u4"),
    ("lateness_us", "<u4"),
    ("service_us", "<u4"),
    ("code", "<u2"),
    ("outcome", "u1"),
    ("flags", "u1"),
)
OUTCOME_OFFSET = 22
MICROSECONDS_MAX = 0xFFFF_FFFF
NUMBER_MAX = 0xFFFF_FFFF


class Outcome(IntEnum):
    """What became of one planned request."""

    ACKED = 1
    """The target said yes: a status that its description lists as acknowledging."""
    REFUSED = 2
    """A definite no: nothing was sent, or the reply says that nothing was taken."""
    INDETERMINATE = 3
    """Sent, and no answer that settles it: only the target's own books can tell."""
    DROPPED = 4
    """Planned, and never sent in time."""


class Failure(IntEnum):
    """Why a request has no status. Codes of 100 and above are HTTP statuses."""

    TIMEOUT = 1
    RESET = 2
    CLOSED = 3
    GARBAGE = 4
    TOO_LARGE = 5
    STOPPED = 6
    """In flight when the workload was told to stop at once."""

    CONNECTION_REFUSED = 10
    CONNECT_TIMEOUT = 11
    UNREACHABLE = 12
    NAME_NOT_FOUND = 13
    TLS = 14
    CLOSED_UNUSED = 15
    """The server accepted the connection and closed it before anything was sent."""

    IN_FLIGHT_BOUND = 20
    """As many requests as the plan allows were waiting or on the wire."""
    TOO_LATE = 21
    """It waited, in line or for the generator, as long as a request may take at all."""
    NOT_SENT_BEFORE_STOP = 22
    OWN_LIMIT = 23
    """The generator's machine had no descriptor, port or memory for another connection."""

    @property
    def outcome(self) -> Outcome:
        """What the failure says about the request."""
        if self < Failure.CONNECTION_REFUSED:
            return Outcome.INDETERMINATE
        if self < Failure.IN_FLIGHT_BOUND:
            return Outcome.REFUSED
        return Outcome.DROPPED

    @property
    def label(self) -> str:
        """The failure in words, as reports show it."""
        return self.name.lower().replace("_", " ")


class Waited(IntEnum):
    """The lowest of a record's flags: whether a connection was ready when the request was due."""

    NO = 0
    FOR_CONNECTION = 1


_SQLSTATE_CLASSES = ("", *CLASSES)
FLAGS_COUNT = len(_SQLSTATE_CLASSES) << 1
_FLAGS_OF_CLASS = {name: index << 1 for index, name in enumerate(_SQLSTATE_CLASSES)}


def sqlstate_flags(reply: bytes) -> int:
    """The upper seven of a record's flags: the class of the first SQLSTATE that `reply` names."""
    named = sqlstates_in(reply)
    return _FLAGS_OF_CLASS[named[0][:2]] if named else 0


def sqlstate_class(flags: int) -> str:
    """The class that a record's flags tell of: two characters, empty for none."""
    return _SQLSTATE_CLASSES[flags >> 1]


def class_of(code: int) -> str:
    """The class that a code belongs to, in words: `HTTP 503`, `timeout`."""
    return f"HTTP {code}" if code >= 100 else Failure(code).label
