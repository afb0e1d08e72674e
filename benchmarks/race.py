"""How close together contenders arrive: the release of the last bytes beside the usual ways."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from benchmarks.measuring import GENERATOR_CORE, SERVER_CORE, pinned
from benchmarks.section import Bar, Section, at_most
from benchmarks.tools import SCRIPTS, Tools

CONTENDERS = (10, 50)
ROUNDS = {
    "last byte": 100,
    "threads, http.client": 100,
    "threads, requests": 50,
    "aiohttp": 100,
    "httpx": 10,
}

Say = Callable[[str], None]


def measure(tools: Tools, pairs_count: int, say: Say) -> Section:
    """Every way in turn, `pairs_count` times, each against a server of its own."""
    skews_us: dict[tuple[int, str], list[float]] = {}
    for pair in range(pairs_count):
        for contenders in CONTENDERS:
            for way, rounds in ROUNDS.items():
                found = _skews_us(tools, way, contenders, rounds)
                skews_us.setdefault((contenders, way), []).extend(found)
                say(f"race {pair + 1}/{pairs_count}: {contenders} by {way}: {_p(found, 0.5):.0f}")
    return Section(
        title="The release of a race",
        method=(
            "The spread of arrivals at a local server, by the kernel's time of the last byte of"
            " each request. Client and server have a core each; connections are warm, and every"
            " answer waits until all are in, so that each contender has a connection of its own."
            " In brackets the number of rounds."
        ),
        columns=("way", *(f"{n} contenders, p50 / p99 µs" for n in CONTENDERS)),
        rows=tuple(
            (way, *(f"{_told(skews_us[n, way])} ({len(skews_us[n, way])})" for n in CONTENDERS))
            for way in ROUNDS
        ),
        bars=_bars(skews_us),
    )


def _bars(skews_us: dict[tuple[int, str], list[float]]) -> tuple[Bar, ...]:
    ten, fifty = skews_us[10, "last byte"], skews_us[50, "last byte"]
    return (
        at_most("10 contenders, p50", _p(ten, 0.5), 100, " µs"),
        at_most("10 contenders, p99", _p(ten, 0.99), 250, " µs"),
        at_most("50 contenders, p50", _p(fifty, 0.5), 450, " µs"),
        _tighter("threads, http.client", skews_us, 8),
        _tighter("threads, requests", skews_us, 8),
        _tighter("httpx", skews_us, 50),
    )


def _tighter(way: str, skews_us: dict[tuple[int, str], list[float]], least: float) -> Bar:
    times = _p(skews_us[10, way], 0.5) / _p(skews_us[10, "last byte"], 0.5)
    promise = f"10 contenders, p50: at least {least:g} times tighter than {way}"
    return Bar(promise=promise, measured=f"{times:.1f} times", met=times >= least)


def _skews_us(tools: Tools, way: str, contenders: int, rounds: int) -> list[float]:
    numbers = [str(contenders), str(rounds)]
    with _serving() as port:
        if way == "last byte":
            command = [sys.executable, "-m", "benchmarks.scripts.race_last_byte", str(port)]
        else:
            script = SCRIPTS / "race_clients.py"
            command = [str(tools.programs["python"]), str(script), way, str(port)]
        done = subprocess.run(
            pinned(GENERATOR_CORE, [*command, *numbers]), check=True, capture_output=True, text=True
        )
        return [int(line) / 1000 for line in done.stdout.split()]


@contextmanager
def _serving() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    with subprocess.Popen(
        pinned(SERVER_CORE, [sys.executable, str(SCRIPTS / "race_server.py"), str(port)]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as server:
        assert server.stdout is not None
        server.stdout.readline()
        yield port


def _told(skews_us: list[float]) -> str:
    return f"{_p(skews_us, 0.5):,.0f} / {_p(skews_us, 0.99):,.0f}"


def _p(values: list[float], quantile: float) -> float:
    return float(np.quantile(values, quantile))
