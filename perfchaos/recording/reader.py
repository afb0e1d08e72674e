"""
The reading half of a recording: counts, exact percentiles and series over any window of time.

Files are memory-mapped and never copied as a whole: a window of ten million samples costs a few
bytes a sample. Percentiles are nearest-rank: the smallest sample that at least that share of the
samples does not exceed, so every number reported was really measured.
"""

import math
import mmap
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from perfchaos.errors import PerfchaosError
from perfchaos.recording.ids import first_number
from perfchaos.recording.layout import (
    FIELDS,
    FLAGS_COUNT,
    HEADER,
    MAGIC,
    PLANNED,
    PLANNED_AT,
    RECORD,
    VERSION,
    Outcome,
    Waited,
    class_of,
    sqlstate_class,
)

SAMPLE = np.dtype(list(FIELDS))
PART_SUFFIX = ".samples"
_BLOCK_COUNT = 1 << 16  # samples looked at together: their columns stay in the CPU's cache

Samples = NDArray[np.void]
Column = NDArray[np.uint32]
Flags = NDArray[np.uint8]
_HAS_LATENCY = np.isin(range(256), (Outcome.ACKED, Outcome.INDETERMINATE))
_CODES_COUNT = 1000


class UnreadableRecordingError(PerfchaosError):
    """The file is missing or is not a recording of this version."""


class Recording:
    """
    All samples of a run so far.

    `Recording.open` takes one file, or a folder with one file for each process that sent load.
    Every method looks at what is complete at the moment of the call.
    """

    def __init__(self, parts: Sequence["_Part"]) -> None:
        self._parts = tuple(parts)
        first = self._parts[0]
        self.epoch_ns = first.epoch_ns
        """CLOCK_MONOTONIC instant that intended times are counted from."""
        self.epoch_wall_ns = first.epoch_wall_ns
        """The same instant in nanoseconds since 1970, for people."""
        self.series = first.series
        """Which of the run's loads it is of."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """
        The recording at `path`, a file or a folder of parts.

        Raises UnreadableRecordingError if there is none, or the parts do not belong together.
        """
        files = sorted(path.glob(f"*{PART_SUFFIX}")) if path.is_dir() else [path]
        if not files:
            raise UnreadableRecordingError(
                f"no recording in {path}", next_step="wait until the workload is ready"
            )
        parts = [_Part.open(file) for file in files]
        if len({(part.epoch_ns, part.parts, part.series) for part in parts}) > 1:
            raise UnreadableRecordingError(
                f"the parts in {path} come from different runs",
                next_step="keep the parts of one run in a folder of their own",
            )
        found, whole = sorted(part.part for part in parts), list(range(parts[0].parts))
        if path.is_dir() and found != whole:
            raise UnreadableRecordingError(
                f"{path} holds the parts {found} of a recording of {len(whole)}, numbered from 0",
                next_step="bring all parts together, each of them once",
            )
        return cls(parts)

    def close(self) -> None:
        """Gives the files back; arrays handed out keep their memory map alive by themselves."""
        for part in self._parts:
            part.close()

    def samples(self) -> Samples:
        """Every complete sample, in order of completion; a view, unless there are several parts."""
        arrays = self.samples_by_part()
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)

    def samples_by_part(self) -> list[Samples]:
        """Every complete sample of each process, in order of completion; views."""
        return [part.samples() for part in self._parts]

    def samples_and_turns(self) -> tuple[Samples, NDArray[np.int64]]:
        """
        Every complete sample, and the instant at which the generator had turned to it at the least.

        It turns to requests in the order in which they are due. One that had a connection ready was
        sent at once, and the generator turned to none of those after it any earlier. So a stall
        shows in those too that then had to wait for a connection. Instants count from the epoch.
        """
        samples = self.samples_by_part()
        turned_ns = [_turned_to_ns(part) for part in samples]
        if len(samples) == 1:
            return samples[0], turned_ns[0]
        return np.concatenate(samples), np.concatenate(turned_ns)

    @property
    def planned_count(self) -> int:
        """How many requests have come due so far, those in flight included."""
        return sum(part.planned_count for part in self._parts)

    @property
    def in_flight_count(self) -> int:
        """
        Planned requests whose fate is not recorded (yet).

        After the workload died of SIGKILL they stay: some of them may have reached the target.
        """
        # Planned is read last: a request that ends in between must not make the count negative.
        recorded = sum(len(part.samples()) for part in self._parts)
        return max(self.planned_count - recorded, 0)

    def whole(self) -> "Window":
        """All samples so far; the window reaches from the first to the last intended instant."""
        blocks = [found for part in self._parts for found in part.blocks()]
        segments = [block for block, _, _ in blocks]
        start_ns = min((least for _, least, _ in blocks), default=0)
        end_ns = max((greatest for _, _, greatest in blocks), default=-1) + 1
        return Window(
            start_ns=self.epoch_ns + start_ns,
            end_ns=self.epoch_ns + end_ns,
            _segments=segments,
            _epoch_ns=self.epoch_ns,
        )

    def between(self, start_ns: int, end_ns: int) -> "Window":
        """The samples intended at `start_ns` or later and before `end_ns` (CLOCK_MONOTONIC)."""
        low, high = start_ns - self.epoch_ns, end_ns - self.epoch_ns
        segments = []
        for part in self._parts:
            for block, least, greatest in part.blocks():
                if low <= least and greatest < high:
                    segments.append(block)
                elif least < high and greatest >= low:
                    inside = (block["intended_ns"] >= low) & (block["intended_ns"] < high)
                    segments.append(block[inside])
        return Window(start_ns=start_ns, end_ns=end_ns, _segments=segments, _epoch_ns=self.epoch_ns)

    def numbers(self, outcome: Outcome) -> NDArray[np.int64]:
        """The numbers, in the run, of all requests with this outcome, ascending."""
        blocks = [block for part in self._parts for block, _, _ in part.blocks()]
        found = [block["n"][block["outcome"] == outcome] for block in blocks]
        within = np.sort(np.concatenate(found)) if found else np.empty(0, np.uint32)
        return within.astype(np.int64) + first_number(self.series)


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """One second of a window, by intended time; latencies are None when nothing was answered."""

    start_s: int
    """Whole seconds since the start of the window."""
    planned_count: int
    acked_count: int
    refused_count: int
    indeterminate_count: int
    dropped_count: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    latency_max_ms: float | None


@dataclass(slots=True, kw_only=True)
class Window:
    """
    The samples of a stretch of time.

    Latencies are those of acked and of indeterminate requests: who timed out waited at least
    that long, and leaving them out would flatter the target; counting refusals, which are often
    fast, would flatter it too. They are in `error_ratio`.
    """

    start_ns: int
    end_ns: int
    _segments: list[Samples]
    _epoch_ns: int
    _distributions: "dict[str, _Distribution]" = field(default_factory=dict)

    @classmethod
    def of(cls, samples: Samples, *, epoch_ns: int, start_ns: int, duration_ns: int) -> Self:
        """A window of chosen samples, such as those of a phase that was lived through in parts."""
        return cls(
            start_ns=start_ns,
            end_ns=start_ns + duration_ns,
            _segments=[samples[i : i + _BLOCK_COUNT] for i in range(0, len(samples), _BLOCK_COUNT)],
            _epoch_ns=epoch_ns,
        )

    @property
    def planned_count(self) -> int:
        """Requests intended in this window whose fate is known."""
        return sum(len(segment) for segment in self._segments)

    @property
    def acked_count(self) -> int:
        return self._count(Outcome.ACKED)

    @property
    def refused_count(self) -> int:
        return self._count(Outcome.REFUSED)

    @property
    def indeterminate_count(self) -> int:
        return self._count(Outcome.INDETERMINATE)

    @property
    def dropped_count(self) -> int:
        return self._count(Outcome.DROPPED)

    @property
    def error_ratio(self) -> float | None:
        """The share of the plan that was not acked; None if nothing was planned."""
        planned_count = self.planned_count
        return (planned_count - self.acked_count) / planned_count if planned_count else None

    @property
    def duration_s(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def rate_per_s(self) -> float | None:
        """Acked requests per second of the window; None for an empty stretch of time."""
        return self.acked_count / self.duration_s if self.end_ns > self.start_ns else None

    @property
    def latency_count(self) -> int:
        """How many samples the latencies rest on."""
        return len(self._distribution("latency"))

    def latency_ms(self, quantile: float) -> float | None:
        """From the intended instant to the end of the reply; None without samples."""
        return self._distribution("latency").quantile_ms(quantile)

    def service_ms(self, quantile: float) -> float | None:
        """From the real sending to the end of the reply; None without samples."""
        return self._distribution("service").quantile_ms(quantile)

    def lateness_ms(self, quantile: float) -> float | None:
        """
        From the intended instant to the real sending, where a connection was ready.

        This is the generator's own share; waiting for a busy connection is the target's.
        """
        return self._distribution("lateness").quantile_ms(quantile)

    def by_class(self) -> dict[str, int]:
        """Counts by HTTP status or failure in words, the most frequent first."""
        totals = np.zeros(_CODES_COUNT, np.int64)
        for segment in self._segments:
            totals += np.bincount(segment["code"], minlength=_CODES_COUNT)
        codes = np.flatnonzero(totals).tolist()
        codes.sort(key=lambda code: (-totals[code], code))
        return {class_of(code): int(totals[code]) for code in codes}

    def by_sqlstate(self) -> dict[str, int]:
        """Counts of the classes of SQLSTATE that replies named, the most frequent first."""
        return sqlstates_of(segment["flags"] for segment in self._segments)

    def per_second(self) -> tuple[Second, ...]:
        """Every second of the window, those without a sample too; the last may be cut short."""
        seconds_count = math.ceil(self.duration_s)
        counts = np.zeros((seconds_count, len(Outcome) + 1), np.int64)
        latencies_us: list[list[Column]] = [[] for _ in range(seconds_count)]
        for segment in self._segments:
            at_ns = segment["intended_ns"] - (self.start_ns - self._epoch_ns)
            second = at_ns // 1_000_000_000
            np.add.at(counts, (second, segment["outcome"]), 1)
            second = second[_HAS_LATENCY[segment["outcome"]]]
            order = np.argsort(second, kind="stable")
            present, starts = np.unique(second[order], return_index=True)
            pieces = np.split(_latency_us(segment)[order], starts[1:])
            for index, piece in zip(present.tolist(), pieces, strict=False):
                latencies_us[index].append(piece)
        return tuple(
            _second(index, counts[index].tolist(), pieces)
            for index, pieces in enumerate(latencies_us)
        )

    def _count(self, outcome: Outcome) -> int:
        return sum(int(np.count_nonzero(s["outcome"] == outcome)) for s in self._segments)

    def _distribution(self, name: str) -> "_Distribution":
        """Kept, because each quantile asked makes the next one cheaper."""
        if name not in self._distributions:
            pick = {"latency": _latency_us, "service": _service_us, "lateness": _lateness_us}[name]
            columns = [pick(segment) for segment in self._segments]
            self._distributions[name] = _Distribution(columns)
        return self._distributions[name]


class _Distribution:
    """
    Exact quantiles of a column of microseconds.

    Selection, not sorting: a rank once found splits the column, and the next one is looked for
    only between its neighbours.
    """

    __slots__ = ("_column_us", "_settled_ranks")

    def __init__(self, columns: list[Column]) -> None:
        self._column_us = np.concatenate(columns) if columns else np.empty(0, np.uint32)
        self._settled_ranks: list[int] = []

    def __len__(self) -> int:
        return len(self._column_us)

    def quantile_ms(self, quantile: float) -> float | None:
        """Nearest rank; None without samples."""
        column_us, settled = self._column_us, self._settled_ranks
        if not len(column_us):
            return None
        rank = max(math.ceil(quantile * len(column_us)), 1) - 1
        at = bisect_left(settled, rank)
        if at == len(settled) or settled[at] != rank:
            low = settled[at - 1] + 1 if at else 0
            high = settled[at] if at < len(settled) else len(column_us)
            column_us[low:high].partition(rank - low)
            settled.insert(at, rank)
        return float(column_us[rank]) / 1000


@dataclass(slots=True, kw_only=True)
class _Part:
    """One file of a recording, mapped as far as it has been looked at."""

    path: Path
    epoch_ns: int
    epoch_wall_ns: int
    part: int
    parts: int
    series: int
    _map: mmap.mmap
    _complete_count: int = 0
    _bounds: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path) -> Self:
        try:
            mapped = _map_of(path)
            magic, version, part, parts, series, epoch_ns, wall_ns, _ = HEADER.unpack_from(mapped)
        except (OSError, ValueError) as error:
            raise UnreadableRecordingError(
                f"cannot read the recording {path}: {error}",
                next_step="give a file that a perfchaos workload has written",
            ) from error
        if magic != MAGIC or version != VERSION:
            raise UnreadableRecordingError(
                f"{path} is not a recording of version {VERSION}",
                next_step="read it with the perfchaos that wrote it",
            )
        return cls(
            path=path,
            epoch_ns=epoch_ns,
            epoch_wall_ns=wall_ns,
            part=part,
            parts=parts,
            series=series,
            _map=mapped,
        )

    @property
    def planned_count(self) -> int:
        count: int = PLANNED.unpack_from(self._map, PLANNED_AT)[0]
        return count

    def samples(self) -> Samples:
        """What is complete by now."""
        if self.path.stat().st_size > len(self._map):
            self._map = _map_of(self.path)
        room_count = (len(self._map) - HEADER.size) // RECORD.size
        room = np.frombuffer(self._map, SAMPLE, room_count, HEADER.size)
        outcomes = room["outcome"]
        # Append-only: complete records first, zeroes after. Bisect for the first zero.
        low, high = self._complete_count, room_count
        while low < high:
            middle = (low + high) // 2
            if outcomes[middle]:
                low = middle + 1
            else:
                high = middle
        self._complete_count = low
        return room[:low]

    def blocks(self) -> Iterator[tuple[Samples, int, int]]:
        """The samples in blocks, each with its least and greatest intended time."""
        samples = self.samples()
        for index, start in enumerate(range(0, len(samples), _BLOCK_COUNT)):
            block = samples[start : start + _BLOCK_COUNT]
            if index < len(self._bounds):
                yield block, *self._bounds[index]
                continue
            intended_ns = block["intended_ns"]
            bounds = int(intended_ns.min()), int(intended_ns.max())
            if len(block) == _BLOCK_COUNT:  # A full block never changes: looked through once.
                self._bounds.append(bounds)
            yield block, *bounds

    def close(self) -> None:
        """The map closes with the last array that looks into it."""
        del self._map


def _map_of(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        if path.stat().st_size < HEADER.size:
            raise ValueError("shorter than a header")
        return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)


def sqlstates_of(columns: Iterable[Flags]) -> dict[str, int]:
    """Counts of the classes of SQLSTATE that the replies named, the most frequent first."""
    totals = np.zeros(FLAGS_COUNT, np.int64)
    for flags_column in columns:
        totals += np.bincount(flags_column, minlength=FLAGS_COUNT)
    found: Counter[str] = Counter()
    for flags in np.flatnonzero(totals).tolist():
        found[sqlstate_class(flags)] += int(totals[flags])
    found.pop("", None)
    return dict(found.most_common())


def _latency_us(samples: Samples) -> Column:
    """Fits in 32 bits: a request waits and is answered within two timeouts of 600 s at most."""
    kept = _HAS_LATENCY[samples["outcome"]]
    latency_us: Column = samples["lateness_us"][kept] + samples["service_us"][kept]
    return latency_us


def _service_us(samples: Samples) -> Column:
    service_us: Column = samples["service_us"][_HAS_LATENCY[samples["outcome"]]]
    return service_us


def _turned_to_ns(samples: Samples) -> NDArray[np.int64]:
    """As `Recording.samples_and_turns` has it, of the samples of one process."""
    order = np.argsort(samples["intended_ns"], kind="stable")
    due_ns = samples["intended_ns"][order]
    sent_ns = due_ns + samples["lateness_us"][order].astype(np.int64) * 1_000
    turned_ns = np.empty(len(samples), np.int64)
    turned_ns[order] = np.maximum.accumulate(
        np.where(_had_connection(samples)[order], sent_ns, due_ns)
    )
    return turned_ns


def _had_connection(samples: Samples) -> NDArray[np.bool_]:
    """Whose lateness is the generator's own share."""
    ready: NDArray[np.bool_] = (samples["flags"] & 1 == Waited.NO) & (
        samples["outcome"] != Outcome.DROPPED
    )
    return ready


def _lateness_us(samples: Samples) -> Column:
    lateness_us: Column = samples["lateness_us"][_had_connection(samples)]
    return lateness_us


def _second(index: int, counts: list[int], latencies_us: list[Column]) -> Second:
    latency = _Distribution(latencies_us)
    return Second(
        start_s=index,
        planned_count=sum(counts),
        acked_count=counts[Outcome.ACKED],
        refused_count=counts[Outcome.REFUSED],
        indeterminate_count=counts[Outcome.INDETERMINATE],
        dropped_count=counts[Outcome.DROPPED],
        latency_p50_ms=latency.quantile_ms(0.50),
        latency_p99_ms=latency.quantile_ms(0.99),
        latency_max_ms=latency.quantile_ms(1.0),
    )
