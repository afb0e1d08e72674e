"""What a workload says to a reader who has stopped reading does not hold the load up."""

import subprocess
import sys

FILL_AND_SAY = """
import contextlib, os, sys
from perfchaos.workload.events import say_if_heard
os.set_blocking(1, False)
with contextlib.suppress(BlockingIOError):
    while True:
        os.write(1, b"x" * 4096)
os.set_blocking(1, True)
say_if_heard("progress", sent=1)
print("said", file=sys.stderr)
"""


def test_progress_that_nobody_reads_is_left_out() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FILL_AND_SAY], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stderr is not None
        try:
            assert child.wait(20) == 0
        finally:
            child.kill()
        assert child.stderr.read() == b"said\n"
