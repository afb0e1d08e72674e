"""
Holds every connection that a Postgres gives: `python -m perfchaos.faults.connection_holder`.

The standard variables (PGHOST, …) say which one. It connects until it is turned away, says so on
stdout, and goes on for as long as its stdin stays open. Told to `evict`, it also ends the sessions
of the database, whoever's they are, and takes their places, again and again, as a client does that
leaks connections faster than a pool renews its own.
"""

import os
import sys
import threading
import time

import psycopg

from perfchaos.faults.postgres_sessions import end_sessions
from perfchaos.postgres_client import Connection

type Sessions = list[Connection]

_PAUSE_S = 0.05
# A target that reconnects at once is found again in every round.
_ROUNDS_MAX = 5


def hold(*, evict: bool) -> None:
    """Take what there is, round after round, for ever; say when nothing is left for the first."""
    held: Sessions = []
    rounds = 0
    told = False
    while True:
        complaint = _take_all(held)
        evicted_count = _evict(held) if evict else 0
        rounds += 1
        if held and not told and (not evicted_count or rounds >= _ROUNDS_MAX):
            sys.stdout.write(f"{len(held)} held: {complaint}\n")
            sys.stdout.flush()
            told = True
        time.sleep(_PAUSE_S)


def _take_all(held: Sessions) -> str:
    """Connect until turned away; what the server said then."""
    while True:
        try:
            held.append(psycopg.connect(connect_timeout=2, autocommit=True))
        except psycopg.OperationalError as error:
            return " ".join(str(error).split())


def _evict(held: Sessions) -> int:
    """End the target's sessions over one of ours; how many they were."""
    while held:
        try:
            return end_sessions(held[0])
        except psycopg.OperationalError:
            held.pop(0).close()  # Somebody ended it.
    return 0


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    hold(evict="evict" in sys.argv[1:])
