"""
The record of every planned request and its fate: append-only on disk, readable while it grows.

`Recorder` writes, `Recording` reads. The process that sends the load imports only the writing
half: numpy is loaded by whoever reads, on the first use of what reads.
"""

from typing import TYPE_CHECKING

from perfchaos.recording.layout import Failure, Outcome, Waited
from perfchaos.recording.writer import Recorder

if TYPE_CHECKING:
    from perfchaos.recording.reader import Recording, Second, Window, sqlstates_of

__all__ = [
    "Failure",
    "Outcome",
    "Recorder",
    "Recording",
    "Second",
    "Waited",
    "Window",
    "sqlstates_of",
]


def __getattr__(name: str) -> object:
    if name in {"Recording", "Second", "Window", "sqlstates_of"}:
        from perfchaos.recording import reader  # noqa: PLC0415 - see above: numpy only for readers

        return getattr(reader, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
