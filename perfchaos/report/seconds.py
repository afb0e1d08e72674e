"""The run second by second, as a table for other programs."""

import csv
from dataclasses import asdict, fields

from perfchaos.recording import Recording, Second
from perfchaos.run import RunDirectory


def write_seconds(directory: RunDirectory, recording: Recording) -> None:
    """
    Write one row a second of intended time, headed by the names of `Second`'s fields.

    An empty field is a latency that nobody waited for: nothing was answered in that second.
    """
    with directory.seconds.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Second)])
        table.writeheader()
        table.writerows(asdict(second) for second in recording.whole().per_second())
