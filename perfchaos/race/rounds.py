"""
What happened in the rounds of a race, and the file that it is kept in.

One JSON line a round, appended with one write once the round is over, so that a reader beside the
writer never sees half a round as a whole one. Instants are CLOCK_MONOTONIC nanoseconds.
"""

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from perfchaos.errors import PerfchaosError


class Said(StrEnum):
    """What the target told a contender."""

    WON = "won"
    LOST = "lost"
    REFUSED = "refused"
    """A definite no that is neither: nothing was decided by this request."""
    NOTHING = "nothing"
    """No answer, or one that leaves open what was done: only the database can tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """
    One request of a round, in the order of release.

    `name` is the contender as the database names it; two requests of one name are a duplicate
    delivery or a retry. `sent_ns` is when the last byte had been handed to the kernel, None if it
    never was; `done_ns` when the reply was complete or given up. `code` is the HTTP status, below
    100 the class of the failure.
    """

    name: str
    request: str
    sent_ns: int | None
    done_ns: int
    code: int
    said: Said
    reply: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """
    One round: contenders that ask for the same thing at the same moment.

    `key` names that thing in the database. `released_ns` is just before the first last byte went
    out; `overlapped` is whether the last one was out before any reply was in. `problem` says why
    there was no race, and is None if there was one. A `control` is no race on purpose: two of the
    contenders, one after the other.
    """

    number: int
    key: str
    began_ns: int
    released_ns: int | None
    ended_ns: int
    overlapped: bool
    problem: str | None
    contenders: tuple[Contender, ...]
    control: bool = False

    @property
    def effective(self) -> bool:
        """Whether its contenders were at the server together: only then does it prove anything."""
        return self.problem is None and self.overlapped

    @property
    def skew_us(self) -> float | None:
        """From the first last byte to the last one, by the sender's clock."""
        sent_ns = [one.sent_ns for one in self.contenders if one.sent_ns is not None]
        return (max(sent_ns) - min(sent_ns)) / 1000 if len(sent_ns) > 1 else None

    def as_dict(self) -> dict[str, Any]:
        """The round as plain data; `from_dict` gives it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The round that `as_dict` made plain."""
        contenders = tuple(
            Contender(**one | {"said": Said(one["said"])}) for one in data["contenders"]
        )
        return cls(**data | {"contenders": contenders})


class RoundWriter:
    """Appends rounds to a new file; closed at the end of the block."""

    def __init__(self, path: Path) -> None:
        """Raises PerfchaosError if it cannot be made, or is there already."""
        self.path = path
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except OSError as error:
            raise PerfchaosError(
                f"the rounds cannot be written to {path} ({error.strerror})",
                next_step="race in a folder that is new and writable",
            ) from error

    def write(self, one: Round) -> None:
        """
        Appends one round.

        Raises:
            PerfchaosError: the disk is full.

        """
        line = orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE)
        try:
            whole = os.write(self._file, line) == len(line)
        except OSError:
            whole = False
        if not whole:
            raise PerfchaosError(
                f"no room for the rounds in {self.path}", next_step="free disk space and run again"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)


class RoundRecording:
    """All rounds so far of the file at `path`; each is read once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_bytes = 0
        self._rounds: list[Round] = []

    def rounds(self) -> tuple[Round, ...]:
        """Every race that is over, in the order of their numbers; a torn last line is left out."""
        return tuple(one for one in self._all() if not one.control)

    def controls(self) -> tuple[Round, ...]:
        """The control rounds so far."""
        return tuple(one for one in self._all() if one.control)

    def _all(self) -> list[Round]:
        with self.path.open("rb") as file:
            file.seek(self._read_bytes)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        self._rounds += _rounds_in(whole.splitlines())
        return self._rounds


def _rounds_in(lines: Iterable[bytes]) -> Iterable[Round]:
    return (Round.from_dict(orjson.loads(line)) for line in lines)
