"""What a workload process says on stdout, and how it hears on stdin that it is to end."""

import asyncio
import contextlib
import json
import os
from collections.abc import Callable


def say(event: str, **facts: object) -> None:
    """
    Writes one line to stdout.

    A line that nobody is there to hear is lost: the recording has it all the same.
    """
    line = json.dumps({"event": event, **facts}) + "\n"
    with contextlib.suppress(OSError):
        os.write(1, line.encode())


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
