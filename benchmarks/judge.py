"""
Other generators on other people's servers: who measures the server, and who measures itself?

Many servers give a worker or a thread to every connection, silent ones too. A generator that holds
connections open that it does not use takes that worker away, and reports the wait as the server's.
"""

import dataclasses
import math
import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks.clients import OURS, Seen, capacity_found_per_s, greatest_seen_per_s, rate_seen
from benchmarks.measuring import GENERATOR_CORE
from benchmarks.section import Bar, Section, at_most
from benchmarks.servers import ALL, serving
from benchmarks.tools import Tools

_RATES_PER_S = (1.0, 40.0, 100.0)
_NEAR = 0.8  # of the capacity that the best of the others got through
_DURATION_S = 2.0
_SLOW_DURATION_S = 5.0  # at one a second, for all generators at once
_NEAR_DURATION_S = 3.0  # once: no bar rests on it
_PAIRS_MAX = 3  # more would not fit into twenty minutes
_TIMED = (OURS, "k6", "oha")
_COUNTED = ("k6", "wrk", "oha")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one generator found out about one server."""

    at: dict[str, Seen]
    """By the rate, in words."""
    capacity_per_s: float


def measure(tools: Tools, pairs_count: int, say: Say, names: Sequence[str] = ALL) -> Section:
    """Every generator on every server, or on those named; interleaved, medians."""
    pairs_count = min(pairs_count, _PAIRS_MAX)
    rows: list[tuple[str, ...]] = []
    bars: list[Bar] = []
    for name in names:
        if name.startswith("nginx") and "nginx" not in tools.programs:
            rows.append((name, "", "nginx is not on this machine", *[""] * 4))
            continue
        with _generators_on_their_core():
            found = _found(tools, name, pairs_count)
        mine = _rows(name, found)
        rows += mine
        bars += _bars(name, found)
        say("\n".join(str(row) for row in mine))
    return Section(
        title="The judge: other people's servers",
        method=(
            "A view that takes 4 ms behind each server as it is run by default (gunicorn sync with"
            " 3 workers, gthread with 4 threads, uvicorn with one process; a thread per connection"
            " and one connection at a time from Python's standard library), and nginx in front of"
            " each. Latencies in ms as a customer sees them, connecting included, as"
            f" p50 / p99 / max: medians of {pairs_count} interleaved runs of {_DURATION_S:g} s, at"
            f" 1/s of {_SLOW_DURATION_S:g} s and all generators at once. Near capacity is"
            f" {_NEAR:.0%} of what the best of the others gets through, one run of"
            f" {_NEAR_DURATION_S:g} s. Capacity: for perfchaos what its search confirms, for the"
            " others what they get through with all their workers busy."
        ),
        columns=("server", "generator", "1/s", "40/s", "100/s", "near capacity", "capacity"),
        rows=tuple(rows),
        bars=tuple(bars),
    )


@contextmanager
def _generators_on_their_core() -> Iterator[None]:
    """Of this process and all that it starts; servers are given theirs by `serving`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {GENERATOR_CORE})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _found(tools: Tools, server: str, pairs_count: int) -> dict[str, Found]:
    timed = [name for name in _TIMED if name == OURS or name in tools.programs]
    capacity_per_s: dict[str, float] = {}
    for name in _COUNTED:
        if name in tools.programs:
            with serving(tools, server) as url:
                capacity_per_s[name] = greatest_seen_per_s(tools, name, url, _DURATION_S)
    near_per_s = max(capacity_per_s.values(), default=100.0)
    with serving(tools, server) as url:
        capacity_per_s[OURS] = capacity_found_per_s(url, near_per_s)
    at: dict[str, dict[str, Seen]] = {name: {} for name in (*timed, *capacity_per_s)}
    with ExitStack() as servers:
        urls = {name: servers.enter_context(serving(tools, server)) for name in timed}
        for label, rate_per_s in _rates(near_per_s).items():
            for name, seen in _seen(tools, urls, rate_per_s, pairs_count).items():
                at[name][label] = seen
    return {name: Found(at=at[name], capacity_per_s=capacity_per_s[name]) for name in at}


def _rates(near_per_s: float) -> dict[str, float]:
    return {f"{rate:g}/s": rate for rate in _RATES_PER_S} | {"near": _NEAR * near_per_s}


def _seen(
    tools: Tools, urls: Mapping[str, str], rate_per_s: float, pairs_count: int
) -> dict[str, Seen]:
    """Each generator at the server of its own: nobody is in anybody's way."""
    if rate_per_s not in _RATES_PER_S:
        return {
            name: rate_seen(tools, name, url, rate_per_s, _NEAR_DURATION_S)
            for name, url in urls.items()
        }
    runs: dict[str, list[Seen]] = {name: [] for name in urls}
    for _ in range(pairs_count):
        if rate_per_s == _RATES_PER_S[0]:
            for name, seen in _seen_at_once(tools, urls, rate_per_s).items():
                runs[name].append(seen)
            continue
        for name, url in urls.items():
            runs[name].append(rate_seen(tools, name, url, rate_per_s, _DURATION_S))
    return {name: _median(seen) for name, seen in runs.items()}


def _seen_at_once(tools: Tools, urls: Mapping[str, str], rate_per_s: float) -> dict[str, Seen]:
    def once(name: str) -> Seen:
        return rate_seen(tools, name, urls[name], rate_per_s, _SLOW_DURATION_S)

    with ThreadPoolExecutor(len(urls)) as pool:
        return dict(zip(urls, pool.map(once, urls), strict=True))


def _median(runs: Sequence[Seen]) -> Seen:
    fields = [field.name for field in dataclasses.fields(Seen)]
    return Seen(**{name: statistics.median(getattr(run, name) for run in runs) for name in fields})


def _rows(server: str, found: dict[str, Found]) -> list[tuple[str, ...]]:
    return [
        (
            server,
            name,
            *(_told(of.at.get(label)) for label in _rates(0.0)),
            _rate(of.capacity_per_s),
        )
        for name, of in found.items()
    ]


def _told(seen: Seen | None) -> str:
    if seen is None:
        return ""
    return f"{seen.p50_ms:.1f} / {seen.p99_ms:.1f} / {seen.max_ms:.1f}"


def _rate(per_s: float) -> str:
    return "none found" if math.isnan(per_s) else f"{per_s:,.0f}/s"


def _bars(server: str, found: dict[str, Found]) -> Iterator[Bar]:
    ours, k6 = found[OURS], found.get("k6")
    if server == "gunicorn sync":
        yield at_most("gunicorn sync, 1/s: p99", ours.at["1/s"].p99_ms, 12, " ms")
        yield at_most("gunicorn sync, 40/s: p99", ours.at["40/s"].p99_ms, 12, " ms")
    if k6 is not None:
        for rate_per_s in _RATES_PER_S:
            yield _beside_k6(f"{server}, {rate_per_s:g}/s", ours, k6, f"{rate_per_s:g}/s")
    others = [of.capacity_per_s for name, of in found.items() if name != OURS]
    best_per_s = max((rate for rate in others if not math.isnan(rate)), default=math.nan)
    yield Bar(
        promise=f"{server}: capacity within 10 % of the best of the others",
        measured=f"{_rate(ours.capacity_per_s)} beside {_rate(best_per_s)}",
        met=abs(ours.capacity_per_s / best_per_s - 1) <= 0.1,
    )


def _beside_k6(where: str, ours: Found, k6: Found, label: str) -> Bar:
    pairs = [(ours.at[label].p50_ms, k6.at[label].p50_ms)]
    pairs.append((ours.at[label].p99_ms, k6.at[label].p99_ms))
    return Bar(
        promise=f"{where}: p50 and p99 at most 10 % or 1 ms above k6's",
        measured=", ".join(f"{mine:.1f} beside {theirs:.1f} ms" for mine, theirs in pairs),
        met=all(mine <= max(theirs * 1.1, theirs + 1) for mine, theirs in pairs),
    )
