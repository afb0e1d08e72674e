"""Asks what waits for its effect outside Redis, by a query or a command of the target file."""

import subprocess

from perfchaos.errors import PerfchaosError
from perfchaos.ledger.database import asked_by
from perfchaos.ledger.queue import Queued, queued_in, together
from perfchaos.recording.ids import first_and_last
from perfchaos.target import Target

COMMAND_TIMEOUT_S = 30


def waiting_elsewhere(target: Target, seed: int) -> Queued:
    """
    The requests of the run with this seed that `waiting_query` and `waiting_command` show.

    Raises:
        PerfchaosError: one of them fails.

    """
    found = [queued_in((), seed)]
    if target.waiting_query is not None:
        found.append(queued_in(_rows(target, target.waiting_query, seed), seed))
    if target.waiting_command:
        found.append(queued_in(_lines(target.waiting_command, seed), seed))
    return together(found)


def _rows(target: Target, query: str, seed: int) -> list[bytes]:
    first, last = first_and_last(seed)
    with asked_by(target, "ledger.waiting_query") as connection:
        rows = connection.execute(query.encode(), {"first": first, "last": last}).fetchall()
    return [" ".join(map(str, row)).encode() for row in rows]


def _lines(command: tuple[str, ...], seed: int) -> list[bytes]:
    first, last = first_and_last(seed)
    filled = [part.replace("{first}", first).replace("{last}", last) for part in command]
    try:
        done = subprocess.run(
            filled,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_S,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        why = f"exit code {error.returncode}" + (f": {said[-1]}" if said else "")
    except subprocess.TimeoutExpired:
        why = f"no end within {COMMAND_TIMEOUT_S} s"
    except OSError as error:
        why = error.strerror or str(error)
    else:
        return done.stdout.splitlines()
    raise PerfchaosError(
        f"ledger.waiting_command {command[0]!r} does not say what waits ({why})",
        next_step="run it by hand, and correct it in the target file",
    )
