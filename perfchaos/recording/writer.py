"""
The writing half of a recording.

Records go into a shared memory map of the file, so whatever was written survives the death of
the writer, by any signal, and readers see it at once. The file grows by reserved room and never
shrinks: a reader's map must not lose its tail.
"""

import mmap
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from perfchaos.errors import PerfchaosError
from perfchaos.recording.layout import HEADER, MAGIC, PLANNED, PLANNED_AT, RECORD, VERSION

_ROOM_BYTES = RECORD.size * 43_690  # just under 1 MiB: twice a second at 20,000 requests/s

_pack_record = RECORD.pack_into
_pack_planned = PLANNED.pack_into


class Recorder:
    """
    Appends samples to one file; one writer a file.

    `epoch_ns` is the monotonic instant that intended times are counted from. Several processes
    that share one plan write one part each, with the same epoch. `series` is which of the run's
    loads it is.
    """

    def __init__(
        self, path: Path, *, epoch_ns: int, part: int = 0, parts: int = 1, series: int = 0
    ) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        self._offset = HEADER.size
        self._limit = HEADER.size
        self._map = self._with_room()
        wall_ns = time.time_ns() - (time.monotonic_ns() - epoch_ns)
        # The magic comes last: a reader that sees it sees a whole header.
        HEADER.pack_into(self._map, 0, b"", VERSION, part, parts, series, epoch_ns, wall_ns, 0)
        self._map[: len(MAGIC)] = MAGIC

    def planned(self, count: int) -> None:
        """Notes how many requests have come due so far: what is in flight has no record yet."""
        _pack_planned(self._map, PLANNED_AT, count)

    def write(
        self,
        intended_ns: int,
        n: int,
        lateness_us: int,
        service_us: int,
        code: int,
        outcome: int,
        flags: int,
    ) -> None:
        """
        Appends one sample; `intended_ns` counts from the epoch.

        Raises PerfchaosError when the disk is full.
        """
        offset = self._offset
        if offset == self._limit:
            self._map.close()
            self._map = self._with_room()
        _pack_record(
            self._map, offset, intended_ns, n, lateness_us, service_us, code, outcome, flags
        )
        self._offset = offset + 24

    def close(self) -> None:
        """Ends the recording; the file keeps its reserved, zeroed tail."""
        self._map.close()
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _with_room(self) -> mmap.mmap:
        """The file, longer by one piece."""
        limit = self._limit + _ROOM_BYTES
        try:
            # Reserved, not sparse: writing to a map of a full disk kills the process.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._file, self._limit, _ROOM_BYTES)
            else:
                os.pwrite(self._file, bytes(_ROOM_BYTES), self._limit)
        except OSError as error:
            raise PerfchaosError(
                f"no room for the recording {self.path}: {error.strerror}",
                next_step="free disk space and run again",
            ) from error
        self._limit = limit
        return mmap.mmap(self._file, limit)
