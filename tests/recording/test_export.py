import csv
import sys
from pathlib import Path

import pytest

from perfchaos.errors import PerfchaosError
from perfchaos.recording import Failure, Outcome, Recorder, Recording
from perfchaos.recording.export import COLUMNS, to_csv, to_parquet


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    path = tmp_path / "0.samples"
    with Recorder(path, epoch_ns=5) as recorder:
        recorder.write(100, 0, 7, 8, 200, Outcome.ACKED, 0)
        recorder.write(200, 1, 9, 0, Failure.TOO_LATE, Outcome.DROPPED, 1)
    return Recording.open(path)


def test_csv_has_every_sample_with_its_fate_in_words(tmp_path: Path, recording: Recording) -> None:
    to_csv(recording, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)
    assert rows[0]["outcome"] == "acked"
    assert rows[0]["class"] == "HTTP 200"
    assert rows[1]["class"] == "too late"
    assert rows[1]["waited"] == "True"
    assert int(rows[1]["intended_wall_ns"]) - int(rows[0]["intended_wall_ns"]) == 100


def test_parquet_has_the_same_rows(tmp_path: Path, recording: Recording) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    to_parquet(recording, tmp_path / "out.parquet")
    rows = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["n"] for row in rows] == [0, 1]
    assert rows[1]["outcome"] == "dropped"
    assert list(rows[0]) == list(COLUMNS)


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(PerfchaosError, match="parquet"):
        to_parquet(recording, tmp_path / "out.parquet")
