"""Every sample of a recording, for other tools: CSV, or Parquet where pyarrow is installed."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from perfchaos.errors import PerfchaosError
from perfchaos.recording.layout import FLAGS_COUNT, Outcome, Waited, class_of, sqlstate_class
from perfchaos.recording.reader import Recording

COLUMNS = (
    "n",
    "intended_wall_ns",
    "intended_ns",
    "lateness_us",
    "service_us",
    "outcome",
    "code",
    "class",
    "waited",
    "sqlstate_class",
)
_OUTCOMES = np.array(["", *(outcome.name.lower() for outcome in Outcome)])
_SQLSTATE_CLASSES = np.array([sqlstate_class(flags) for flags in range(FLAGS_COUNT)])
_ROWS_COUNT = 1 << 18


def to_csv(recording: Recording, path: Path) -> None:
    """
    One row a sample, in the order of completion within each part of the recording.

    `intended_ns` counts from the epoch, `intended_wall_ns` from 1970.
    """
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for columns in _blocks(recording):
            writer.writerows(zip(*(columns[name].tolist() for name in COLUMNS), strict=True))


def to_parquet(recording: Recording, path: Path) -> None:
    """The same columns as Parquet. Raises PerfchaosError without pyarrow."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra, and slow to load
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        raise PerfchaosError(
            "Parquet needs pyarrow", next_step="pip install 'perfchaos[parquet]' or export .csv"
        ) from error
    types = {name: pa.string() for name in ("outcome", "class", "sqlstate_class")}
    types |= {"code": pa.uint16()}
    types |= {name: pa.uint32() for name in ("n", "lateness_us", "service_us")}
    types |= {"intended_wall_ns": pa.int64(), "intended_ns": pa.int64(), "waited": pa.bool_()}
    schema = pa.schema([(name, types[name]) for name in COLUMNS])
    with pq.ParquetWriter(path, schema) as writer:
        for columns in _blocks(recording):
            writer.write_table(pa.table(columns, schema=schema))


def _blocks(recording: Recording) -> Iterator[dict[str, NDArray[np.generic]]]:
    samples = recording.samples()
    for start in range(0, len(samples), _ROWS_COUNT):
        block = samples[start : start + _ROWS_COUNT]
        codes, positions = np.unique(block["code"], return_inverse=True)
        classes = np.array([class_of(code) for code in codes.tolist()])
        yield {
            "n": block["n"],
            "intended_wall_ns": block["intended_ns"] + recording.epoch_wall_ns,
            "intended_ns": block["intended_ns"],
            "lateness_us": block["lateness_us"],
            "service_us": block["service_us"],
            "outcome": _OUTCOMES[block["outcome"]],
            "code": block["code"],
            "class": classes[positions],
            "waited": block["flags"] & 1 == Waited.FOR_CONNECTION,
            "sqlstate_class": _SQLSTATE_CLASSES[block["flags"]],
        }
