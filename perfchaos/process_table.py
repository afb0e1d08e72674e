"""
What the system says of a process: its state, its parent, and when it started.

Read from /proc on Linux, from `ps` elsewhere.
"""

import calendar
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    One live process.

    `started` only ever equals that of the same process; `age_s` is how long it has existed. `owner`
    is the user it runs as. `kernel` tells a thread of the kernel's.
    """

    pid: int
    parent: int
    owner: int
    kernel: bool
    paused: bool
    started: str
    age_s: float


def pid_exists(pid: int) -> bool:
    """Whether the pid is in use, if only by a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # Somebody else's is one too.
    return True


_KERNEL_THREAD = 0x0020_0000  # PF_KTHREAD among a process's flags.

if sys.platform == "linux":

    def look_up(pid: int) -> Entry | None:
        """The live process of this pid; None if there is none. A zombie has ended."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
            # The folder's own owner is root for a program that may not be looked into.
            status = Path(f"/proc/{pid}/status").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The second field is the program's name in parentheses and may hold anything.
        fields = stat.rpartition(")")[2].split()
        state, parent, started_ticks = fields[0], int(fields[1]), int(fields[19])
        if state in "ZXx":
            return None
        # Ticks since boot, and which boot: exact, and indifferent to the clock being set.
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        started_s = started_ticks / os.sysconf("SC_CLK_TCK")
        return Entry(
            pid=pid,
            parent=parent,
            owner=int(status.partition("\nUid:")[2].split(maxsplit=2)[1]),  # The effective one.
            kernel=bool(int(fields[6]) & _KERNEL_THREAD),
            paused=state == "T",
            started=f"{started_ticks}@{boot}",
            age_s=time.clock_gettime(time.CLOCK_BOOTTIME) - started_s,
        )

    def everything() -> list[Entry]:
        """All live processes."""
        pids = (int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit())
        return [entry for pid in pids if (entry := look_up(pid)) is not None]

else:

    def look_up(pid: int) -> Entry | None:
        """The live process of this pid; None if there is none. A zombie has ended."""
        return next(iter(_ps("-p", str(pid))), None)

    def everything() -> list[Entry]:
        """All live processes."""
        return _ps("-ax")

    def _ps(*which: str) -> list[Entry]:
        answer = subprocess.run(
            ["/bin/ps", *which, "-o", "pid=,ppid=,uid=,state=,lstart="],
            capture_output=True,
            text=True,
            check=False,
            env={"LC_ALL": "C", "TZ": "UTC"},
        )
        entries = []
        for line in answer.stdout.splitlines():
            pid, parent, owner, state, started = line.split(maxsplit=4)
            started_s = calendar.timegm(time.strptime(started.strip(), "%a %b %d %H:%M:%S %Y"))
            if not state.startswith("Z"):
                entries.append(
                    Entry(
                        pid=int(pid),
                        parent=int(parent),
                        owner=int(owner),
                        kernel=False,
                        paused=state.startswith("T"),
                        started=started.strip(),
                        age_s=time.time() - started_s,
                    )
                )
        return entries
