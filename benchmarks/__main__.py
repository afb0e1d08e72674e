"""
`python -m benchmarks`: measures, prints, and writes docs/benchmarks.md.

With `--only` only some sections are measured and nothing is written, unless `--write` says where.
"""

import argparse
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks import closed_loop, honesty, judge, open_loop, race, recording
from benchmarks.section import Section
from benchmarks.servers import ALL
from benchmarks.tools import Tools, machine, prepare
from perfchaos.workload.priority import ask_for_priority

_SECTIONS: dict[str, Callable[[Tools, int, Callable[[str], None]], Section]] = {
    "closed": closed_loop.measure,
    "open": open_loop.measure,
    "honesty": honesty.measure,
    "recording": recording.measure,
    "race": race.measure,
    "judge": judge.measure,
}
_DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def main() -> int:
    """Runs the sections asked for; 1 if a bar was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--only", choices=list(_SECTIONS), action="append")
    parser.add_argument("--pairs", type=int, default=5, help="interleaved pairs (5)")
    parser.add_argument("--server", choices=ALL, action="append", help="only this one in `judge`")
    parser.add_argument("--write", type=Path, help="the Markdown document to write")
    arguments = parser.parse_args()
    tools, busy = prepare(), os.getloadavg()[0]
    ask_for_priority()  # Inherited by every server and every tool: the same for all.
    measures = _SECTIONS | {"judge": partial(judge.measure, names=arguments.server or ALL)}
    sections = [
        measures[name](tools, arguments.pairs, _say) for name in arguments.only or _SECTIONS
    ]
    document = _document(tools, sections, busy)
    print(document)
    path = arguments.write or (None if arguments.only else _DOCUMENT)
    if path is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(document)
    return 0 if all(bar.met for section in sections for bar in section.bars) else 1


def _document(tools: Tools, sections: list[Section], busy: float) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in tools.versions.items())
    head = (
        "# Benchmarks\n\n"
        "Written by `make bench`. Every tool ran on this one machine, in this one run, against\n"
        "the same small C server (the judge's section has servers of its own), the generator on\n"
        "one core and the server on another. Machines differ and drift: read the ratios, and run\n"
        "it on yours.\n\n"
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine()},\n"
        f"with a load average of {busy:.1f} from other work as it began.\n"
        f"Against {versions}.\n"
    )
    return "\n".join([head, *(section.markdown() for section in sections)])


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
