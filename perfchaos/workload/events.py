"""What a workload process says on stdout, and how it hears on stdin that it is to end."""

import asyncio
import contextlib
import json
import os
import select
from collections.abc import Callable, Mapping


def say(event: str, **facts: object) -> None:
    """
    Writes one line to stdout.

    A line that nobody is there to hear is lost: the recording has it all the same.
    """
    with contextlib.suppress(OSError):
        os.write(1, _line(event, facts))


def say_if_heard(event: str, **facts: object) -> None:
    """
    As `say`, unless that would have to wait for a reader who has stopped: the load would wait too.

    A pipe that is ready takes a line of up to 4,096 bytes at once (PIPE_BUF, pipe(7)).
    """
    with contextlib.suppress(OSError):
        _, ready, _ = select.select([], [1], [], 0)
        if ready:
            os.write(1, _line(event, facts))


def _line(event: str, facts: Mapping[str, object]) -> bytes:
    return (json.dumps({"event": event, **facts}) + "\n").encode()


def call_at_end_of_stdin(loop: asyncio.AbstractEventLoop, ended: Callable[[], None]) -> None:
    """
    Calls `ended` in the loop when stdin, a pipe, is closed at its other end.

    That happens by itself when the process holding the other end dies, of whatever.
    """

    def read() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            ended()

    loop.add_reader(0, read)
