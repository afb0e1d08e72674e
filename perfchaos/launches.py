"""
What it takes to start a server again, kept where any process finds it by the server's pid file.

Beside the pid file `redis.pid` of a server that was started here lies its record, `redis.json`. For
a server that somebody else started a record is learned before anything is done to it: from its
start command in the target file, else from how it runs. It lies in the state directory, so that the
watchdog and the next command can start the server when the run no longer can.
"""

import dataclasses
import hashlib
import json
import os
import pwd
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from perfchaos.errors import PerfchaosError
from perfchaos.places import state_dir

# Of a server's environment what it may need to start, and what is never a secret.
_HARMLESS = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH")
# What Redis keeps its data in. Whatever else lies in a folder that others named is not ours.
_REDIS_FILES = ("*.rdb", "*.aof", "appendonlydir")
_LISTS = ("argv", "data_files", "groups")
_HARMLESS_PREFIXES = ("LC_", "PGDATA", "PGPORT", "PGHOST", "PG_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """
    How a server is started, as JSON.

    `secrets` maps variables of the server's environment to names in `secrets_file`, so that no
    secret stands in this record. `data_dir` is what "started again, emptied" deletes, or what
    `data_files` match in it; None where the data must stay. `uid`, `gid` and `groups` are given by
    root for a server that is not its own. `foreign` is a server that others started: it may note
    its pid by itself, and its command may only start it and end.
    """

    argv: tuple[str, ...]
    cwd: str
    log: str
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    secrets_file: str | None = None
    stop_signal: str = "SIGTERM"
    data_dir: str | None = None
    data_files: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] = ()
    foreign: bool = False

    def write(self, pid_file: Path) -> None:
        """
        Keep this record beside the pid file.

        Raises PerfchaosError if its data do not lie there too: they are deleted on its word.
        """
        if self.data_dir is not None and pid_file.parent not in Path(self.data_dir).parents:
            raise PerfchaosError(
                f"the data in {self.data_dir} could not be deleted on demand",
                next_step=f"keep them beside its pid file, in {pid_file.parent}",
            )
        self._write(_record_beside(pid_file))

    @classmethod
    def read(cls, pid_file: Path) -> "Launch":
        """
        The record kept for the pid file.

        Raises PerfchaosError if there is none or if it is not one.
        """
        path = launch_file(pid_file)
        try:
            record = json.loads(path.read_text())
            lists = {name: tuple(record[name]) for name in _LISTS if name in record}
            return cls(**(record | lists))
        except FileNotFoundError as error:
            raise PerfchaosError(
                f"nothing says how to start the process of {pid_file}",
                next_step="give its section of the target file a 'start', the command that starts "
                "it, or control it through docker: or compose:",
            ) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise PerfchaosError(
                f"{path} is not a launch record ({error})",
                next_step="correct or delete it",
            ) from error

    def _write(self, path: Path) -> None:
        write_private(path, json.dumps(dataclasses.asdict(self), indent=2) + "\n")


def launch_file(pid_file: Path) -> Path:
    """
    Where the record of a pid file is: beside it if it is ours, else with those that were learned.

    Its command is run and its data are deleted on its word, so one that others could have written
    is as if it were not there.
    """
    beside = _record_beside(pid_file)
    return beside if _ours(beside) else _learned(pid_file, ".json")


def lock_file(pid_file: Path, launch: Launch) -> Path:
    """What whoever starts the server holds; a foreign pid file's folder is left alone."""
    return _learned(pid_file, ".lock") if launch.foreign else pid_file.with_suffix(".lock")


def learn_launch(
    pid_file: Path, pid: int, start: Sequence[str] = (), *, data_dir: str | None = None
) -> None:
    """
    See that it is known how the running server of `pid_file` is started: now, while it runs.

    `start` is the command that starts it; without one it is started as process `pid` was.
    `data_dir` is the folder of a Redis whose data may be deleted.

    Raises:
        PerfchaosError: it cannot be told from the process, or the process may not be looked at.

    """
    if _ours(_record_beside(pid_file)):
        return
    launch = _as_told(pid_file, start) if start else _as_it_runs(pid_file, pid)
    if data_dir is not None:
        launch = dataclasses.replace(launch, data_dir=data_dir, data_files=_REDIS_FILES)
    launch._write(launch_file(pid_file))


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner can read, whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    unfinished.replace(path)


def read_environment_file(path: Path) -> dict[str, str]:
    """The `NAME=value` lines of a file; raises PerfchaosError if it cannot be read."""
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise PerfchaosError(
            f"the secrets in {path} cannot be read ({error.strerror})",
            next_step="run 'perfchaos down' and 'perfchaos up'",
        ) from error
    return dict(line.split("=", 1) for line in lines if "=" in line)


def secrets_of(launch: Launch) -> dict[str, str]:
    """The secrets that its server gets, by the names of its environment."""
    if launch.secrets_file is None:
        return {}
    known = read_environment_file(Path(launch.secrets_file))
    return {variable: known[name] for variable, name in launch.secrets.items()}


def _as_told(pid_file: Path, start: Sequence[str]) -> Launch:
    if shutil.which(start[0]) is None:
        raise PerfchaosError(
            f"there is no program {start[0]} to start the process of {pid_file} with",
            next_step="correct 'start' in the target file",
        )
    return Launch(
        argv=tuple(start),
        cwd="/",
        log=str(_learned(pid_file, ".log")),
        environment=_harmless(os.environ),
        foreign=True,
    )


def _as_it_runs(pid_file: Path, pid: int) -> Launch:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            argv, program, cwd = process.cmdline(), process.exe(), process.cwd()
            uid, gid = process.uids().effective, process.gids().effective
            environment = _harmless(process.environ())
    except psutil.Error as error:
        raise PerfchaosError(
            f"the process of {pid_file} (pid {pid}) may not be looked at, so it could not be "
            "started again",
            next_step="run this as its user or as root, or control it through docker: or compose:",
        ) from error
    if argv and Path(argv[0]).name == Path(program).name:
        argv[0] = program  # It may have been called by a path that was relative.
    if not argv or shutil.which(argv[0]) is None:
        # Redis shows its address in the place of its arguments.
        raise PerfchaosError(
            f"the process of {pid_file} (pid {pid}) does not show what it was started with",
            next_step="give its section of the target file a 'start', the command that starts it",
        )
    other = os.geteuid() == 0 and uid != 0
    return Launch(
        argv=tuple(argv),
        cwd=cwd,
        log=str(_learned(pid_file, ".log")),
        environment=environment,
        uid=uid if other else None,
        gid=gid if other else None,
        groups=_groups_of(uid, gid) if other else (),
        foreign=True,
    )


def _groups_of(uid: int, gid: int) -> tuple[int, ...]:
    try:
        return tuple(os.getgrouplist(pwd.getpwuid(uid).pw_name, gid))
    except KeyError:  # A user without a name has no groups by it.
        return ()


def _harmless(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if name in _HARMLESS or name.startswith(_HARMLESS_PREFIXES)
    }


def _ours(record: Path) -> bool:
    """Whether only we can have written a record: its file and its folder are ours alone."""
    try:
        file, folder = record.lstat(), record.parent.stat()
    except OSError:
        return False
    ours = file.st_uid == folder.st_uid == os.geteuid()
    open_to_others = file.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or folder.st_mode & stat.S_IWOTH
    return ours and stat.S_ISREG(file.st_mode) and not open_to_others


def _record_beside(pid_file: Path) -> Path:
    return pid_file.with_suffix(".json")


def _learned(pid_file: Path, suffix: str) -> Path:
    folder = state_dir() / "launches"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = hashlib.sha256(os.fsencode(pid_file.absolute())).hexdigest()[:16]
    return folder / f"{name}{suffix}"
