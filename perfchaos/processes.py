"""
Server processes known by their pid file: start, stop, kill, pause, resume, start again.

A pid alone is not an identity, because the system hands pids out again. A pid file written here
therefore holds the pid and, on a second line, the start time of its process; one whose start time
differs is another process and is never signalled. A pid file written by somebody else (a pid and
nothing more) is believed only for a process that started before the file was written.

What it takes to start the very same server again, from any process and without knowing anything
else about it, is in the `Launch` that is kept for the pid file.
"""

import contextlib
import fcntl
import os
import re
import select
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from perfchaos.errors import PerfchaosError
from perfchaos.launches import Launch, launch_file, lock_file, secrets_of, write_private
from perfchaos.process_table import Entry, everything, look_up, pid_exists

# Some start times have a resolution of a second, and a file's time may be rounded as well.
_FOREIGN_PID_FILE_SLACK_S = 2.0

# The inner shell notes its own pid in the pid file (its descriptor 3) before it becomes the server,
# so that no server ever runs unnoted, not even if its starter is killed at that moment. The middle
# one stays to bury the server: in many a container process 1 does not, and a Postgres will not
# start again while its predecessor lies about as a zombie. The outer one ends at once, so that the
# server has nothing to do with the process that started it.
_ORPHAN = """exec 3<&0; (sh -c 'echo $$ >&3; exec "$@" 3>&-' sh "$@"; :) &"""
_PID = re.compile(r"[0-9]{1,10}")
_BURIAL_TIMEOUT_S = 0.5
_PAUSE_TIMEOUT_S = 5.0
# A foreign server that notes its pid does so early; a command that starts one may take its time.
_OWN_NOTE_TIMEOUT_S = 1.0
_FOREIGN_START_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process, told from a later holder of its pid by its start time."""

    pid: int
    started: str

    @classmethod
    def current(cls) -> "Process":
        """This process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> "Process":
        """
        The process that has this pid now.

        Raises:
            PerfchaosError: there is none.

        """
        entry = look_up(pid)
        if entry is None:
            raise PerfchaosError(f"process {pid} has ended", next_step="read its log")
        return _process(entry)

    def alive(self) -> bool:
        """Whether it still runs (or is paused); a zombie has ended."""
        return self._entry() is not None

    def paused(self) -> bool:
        """Whether it is stopped by a signal."""
        entry = self._entry()
        return entry is not None and entry.paused

    def signal(self, number: signal.Signals) -> None:
        """
        Send a signal, and never to another process that got the pid meanwhile.

        Does nothing if it has ended; raises PerfchaosError if it may not be signalled.
        """
        try:
            if not hasattr(os, "pidfd_open"):
                if self.alive():
                    os.kill(self.pid, number)
                return
            descriptor = os.pidfd_open(self.pid)
            try:
                # The descriptor holds on to the process: what is true now stays true below.
                if self.alive():
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise PerfchaosError(
                f"process {self.pid} belongs to another user",
                next_step="run this as that user, or as root",
            ) from error

    def wait_gone(self, timeout_s: float) -> bool:
        """Wait until it has ended; False if it has not within `timeout_s`."""
        deadline_s = time.monotonic() + timeout_s
        if hasattr(os, "pidfd_open"):
            try:
                descriptor = os.pidfd_open(self.pid)
            except ProcessLookupError:
                return True
            try:
                if self.alive():
                    ended = select.poll()
                    ended.register(descriptor, select.POLLIN)
                    ended.poll(timeout_s * 1000)
            finally:
                os.close(descriptor)
        while self.alive():
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(0.01)
        return True

    def family(self) -> list["Process"]:
        """This process and all that descend from it, parents first."""
        children: dict[int, list[Process]] = {}
        for entry in everything():
            children.setdefault(entry.parent, []).append(_process(entry))
        family = [self]
        for member in family:  # It grows as we go: breadth first.
            family += children.get(member.pid, [])
        return family

    def _entry(self) -> Entry | None:
        entry = look_up(self.pid)
        return entry if entry is not None and entry.started == self.started else None


def running(pid_file: Path) -> Process | None:
    """
    The live process that a pid file speaks of; None if there is none, or the file is stale.

    Raises PerfchaosError where the file names a process that is not its owner's to control, or one
    that is nobody's to control from here: this process, its ancestors, the kernel's.
    """
    try:
        facts = pid_file.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise _untrusted(pid_file, "it is no file")
        written_s = facts.st_mtime
        lines = _noted(pid_file).splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise _untrusted(pid_file, "it may not be read by this user") from error
    if not lines or not _PID.fullmatch(lines[0].strip()):
        return None
    entry = look_up(int(lines[0]))
    if entry is None:
        return None
    if len(lines) > 1 and lines[1].startswith("started "):
        same = lines[1] == f"started {entry.started}"
    else:
        same = time.time() - entry.age_s <= written_s + _FOREIGN_PID_FILE_SLACK_S
    if not same:
        return None
    _require_controllable(pid_file, entry)
    return _process(entry)


def start(launch: Launch, pid_file: Path) -> Process:
    """
    Start a server in a session of its own, and note it in its pid file; one that runs is left be.

    It outlives this process and hears nothing of its terminal. Returns once the server runs, which
    is before it answers. Raises PerfchaosError if it cannot be started.
    """
    with _one_starter(launch, pid_file):
        return running(pid_file) or _start(launch, pid_file)


def start_again(pid_file: Path, *, emptied: bool = False) -> Process:
    """
    Start the server of a pid file as it was started before; the running one if it still runs.

    `emptied` deletes its data first, as a cache without persistence would come back. Raises
    PerfchaosError if nothing says how to start it or if its data must not be deleted.
    """
    launch = Launch.read(pid_file)
    with _one_starter(launch, pid_file):
        if process := running(pid_file):
            return process
        _require_program(launch)
        if emptied:
            _delete_data(launch, pid_file)
        return _start_foreign(launch, pid_file) if launch.foreign else _start(launch, pid_file)


def stop(pid_file: Path, *, timeout_s: float = 10.0) -> None:
    """
    Ask a server to end in its own orderly way, and wait until it has.

    One that is paused is woken to hear it. Raises PerfchaosError if it has not ended in time.
    """
    process = running(pid_file)
    if process is None:
        return
    number = signal.SIGTERM
    if launch_file(pid_file).exists():
        number = signal.Signals[Launch.read(pid_file).stop_signal]
    family = process.family()
    process.signal(number)
    for member in family:
        member.signal(signal.SIGCONT)
    if not process.wait_gone(timeout_s):
        raise PerfchaosError(
            f"{pid_file.stem} (pid {process.pid}) did not stop within {timeout_s:g} s",
            next_step="kill it",
        )
    _await_burial(process)


def kill(pid_file: Path, *, timeout_s: float = 5.0) -> None:
    """
    End a server and all its children by SIGKILL, as a power cut would, and wait for their end.

    All at once: killing only the parent of a Postgres would let its backends notice and clean up.
    The parent goes last, so that a kill which is interrupted leaves it to be found by its pid file:
    paused, and to be resumed.
    Raises PerfchaosError if one has not ended in time.
    """
    process = running(pid_file)
    if process is None:
        return
    family = _freeze(process)
    for member in reversed(family):
        member.signal(signal.SIGKILL)
    deadline_s = time.monotonic() + timeout_s
    for member in family:
        if not member.wait_gone(max(0.0, deadline_s - time.monotonic())):
            raise PerfchaosError(
                f"{pid_file.stem} (pid {member.pid}) survived SIGKILL for {timeout_s:g} s",
                next_step="look whether it hangs in the kernel (state D in ps)",
            )
    _await_burial(process)


def pause(pid_file: Path) -> None:
    """
    Stop a server and all its children in their tracks, and see that they have stopped.

    Raises PerfchaosError if it does not run or does not stop.
    """
    deadline_s = time.monotonic() + _PAUSE_TIMEOUT_S
    for member in _freeze(_required(pid_file)):
        while member.alive() and not member.paused():
            if time.monotonic() >= deadline_s:
                raise PerfchaosError(
                    f"{pid_file.stem} (pid {member.pid}) was not paused in {_PAUSE_TIMEOUT_S:g} s",
                    next_step="look whether it hangs in the kernel (state D in ps)",
                )
            time.sleep(0.001)


def resume(pid_file: Path) -> None:
    """Let a paused server go on; raises PerfchaosError if none runs."""
    for member in reversed(_required(pid_file).family()):
        member.signal(signal.SIGCONT)


@contextlib.contextmanager
def _one_starter(launch: Launch, pid_file: Path) -> Iterator[None]:
    """Of two that start a server at once (a run and its watchdog), the second finds it running."""
    with lock_file(pid_file, launch).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _require_controllable(pid_file: Path, entry: Entry) -> None:
    """A pid file gives no more power than whoever wrote it has; a symbolic link no more either."""
    owners = {pid_file.lstat().st_uid, pid_file.stat().st_uid} - {0}
    if owners - {entry.owner}:
        raise _untrusted(
            pid_file, f"process {entry.pid} in it is not of the user that the file belongs to"
        )
    if entry.pid == 1 or entry.kernel:
        raise _untrusted(pid_file, f"process {entry.pid} in it is the system's own")
    ours = look_up(os.getpid())
    while ours is not None:
        if ours.pid == entry.pid:
            raise _untrusted(
                pid_file, f"process {entry.pid} in it is perfchaos itself or what started it"
            )
        ours = look_up(ours.parent) if ours.parent else None


def _untrusted(pid_file: Path, why: str) -> PerfchaosError:
    return PerfchaosError(
        f"{pid_file} is not believed: {why}",
        next_step="correct 'control' in the target file: the server's own pid file, owned by the "
        "server's user or by root",
    )


def _require_data(launch: Launch, pid_file: Path) -> Path:
    """The folder whose data are deleted; raises PerfchaosError unless it may be."""
    if launch.data_dir is None:
        raise PerfchaosError(
            f"the data of {pid_file.stem} must not be deleted",
            next_step="start it with them",
        )
    folder = Path(launch.data_dir)
    beside = pid_file.absolute().parent in folder.parents and ".." not in folder.parts
    if folder.is_symlink() or not (launch.data_files or beside) or folder == Path("/"):
        raise PerfchaosError(
            f"the data in {folder} are not deleted: it is a symbolic link, the root, or not beside "
            f"{pid_file}",
            next_step=f"correct {launch_file(pid_file)}",
        )
    return folder


def _delete_data(launch: Launch, pid_file: Path) -> None:
    folder = _require_data(launch, pid_file)
    if not launch.data_files:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    for pattern in launch.data_files:
        for path in folder.glob(pattern):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _start(launch: Launch, pid_file: Path) -> Process:
    _require_program(launch)
    launch.write(pid_file)
    with pid_file.open("w") as noted:
        _run(launch, pid_file, noted)
    process = running(pid_file)
    if process is None:
        raise _ended_at_once(launch)
    write_private(pid_file, f"{process.pid}\nstarted {process.started}\n")
    return process


def _require_program(launch: Launch) -> None:
    if not launch.argv or shutil.which(launch.argv[0]) is None:
        name = launch.argv[0] if launch.argv else "without a name"
        raise PerfchaosError(f"there is no program {name}", next_step="install it")


def _start_foreign(launch: Launch, pid_file: Path) -> Process:
    """
    Start a server whose pid file is others'.

    Most note their pid there by themselves, sooner or later. Where the file stays as it was while
    the command goes on to run, the command is the server, and whoever started it before had noted
    its pid: so it is noted for them.
    """
    before = _text(pid_file)
    with tempfile.NamedTemporaryFile("w+") as noted:
        _run(launch, pid_file, noted)
        command = look_up(int(_noted(Path(noted.name)) or 0))
    began_s = time.monotonic()
    while (waited_s := time.monotonic() - began_s) < _FOREIGN_START_TIMEOUT_S:
        if process := running(pid_file):
            return process
        if waited_s > _OWN_NOTE_TIMEOUT_S and _text(pid_file) == before:
            if command is None or look_up(command.pid) is None:
                raise _ended_at_once(launch)
            pid_file.write_text(f"{command.pid}\n")
        time.sleep(0.005)
    raise PerfchaosError(
        f"{launch.argv[0]} was started, and {pid_file} names no process that runs",
        next_step=f"read {launch.log}",
    )


def _run(launch: Launch, pid_file: Path, noted: IO[str]) -> None:
    """Start the command; its pid is written into `noted`."""
    with Path(launch.log).open("a") as log:
        try:
            subprocess.run(
                ["/bin/sh", "-c", _ORPHAN, "sh", *launch.argv],
                stdin=noted,
                stdout=log,
                stderr=log,
                cwd=launch.cwd,
                env={**launch.environment, **secrets_of(launch)},
                start_new_session=True,
                check=True,
                user=launch.uid,
                group=launch.gid,
                extra_groups=None if launch.uid is None else list(launch.groups),
            )
        except OSError as error:
            raise PerfchaosError(
                f"{launch.argv[0]} could not be started ({error})",
                next_step=f"correct {launch_file(pid_file)}",
            ) from error


def _ended_at_once(launch: Launch) -> PerfchaosError:
    return PerfchaosError(
        f"{launch.argv[0]} ended as soon as it was started",
        next_step=f"read {launch.log}",
    )


def _text(pid_file: Path) -> str | None:
    try:
        return pid_file.read_text()
    except FileNotFoundError:
        return None


def _required(pid_file: Path) -> Process:
    process = running(pid_file)
    if process is None:
        raise PerfchaosError(f"no process of {pid_file} is running", next_step="start it first")
    return process


def _noted(pid_file: Path) -> str:
    """The text of a pid file. An empty one that is new is about to be written by its server."""
    deadline_s = time.time() + 1.0
    while not (text := pid_file.read_text(errors="replace")):
        if not 0.0 <= time.time() - pid_file.stat().st_mtime < 1.0 or time.time() >= deadline_s:
            break
        time.sleep(0.001)
    return text


def _await_burial(process: Process) -> None:
    """Give the parent of an ended server a moment: as a zombie it would still hold its pid."""
    deadline_s = time.monotonic() + _BURIAL_TIMEOUT_S
    while pid_exists(process.pid) and time.monotonic() < deadline_s:
        time.sleep(0.001)


def _freeze(process: Process) -> list[Process]:
    """Pause a whole family, parents first so that no new child escapes; returns all of it."""
    frozen: list[Process] = []
    while fresh := [member for member in process.family() if member not in frozen]:
        for member in fresh:
            member.signal(signal.SIGSTOP)
        frozen += fresh
    return frozen


def _process(entry: Entry) -> Process:
    return Process(pid=entry.pid, started=entry.started)
