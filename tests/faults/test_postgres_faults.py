"""The faults that only Postgres has, done to a real one."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg
import pytest

from perfchaos import processes
from perfchaos.errors import PerfchaosError
from perfchaos.faults import mechanisms
from perfchaos.faults.disabled_proxy import RestoreProxy
from perfchaos.faults.ended_postgres import DidNotComeBack, EndedPostgres, Ending, StartPostgres
from perfchaos.faults.ended_process import StartProcess
from perfchaos.faults.fault import FaultVanished, Undo
from perfchaos.faults.held_connections import EndHolder, HeldConnections
from perfchaos.faults.postgres_sessions import NotReached
from perfchaos.faults.read_only_postgres import MakeWritable, ReadOnlyPostgres
from perfchaos.faults.toxiproxy_client import ProxyState, ToxiproxyAddress
from perfchaos.postgres_client import PROOF_OF_WRITING, Connection, Login, connect
from perfchaos.processes import Process
from tests.postgres_lab import PostgresLab

pytest_plugins = ["tests.postgres_fixtures"]


def from_another_process(undo: Undo) -> Undo:
    """The undo as whoever reads the lease has it."""
    return mechanisms.from_document(json.loads(json.dumps(mechanisms.to_document(undo))))


def ended(postgres: PostgresLab, how: Ending) -> EndedPostgres:
    return EndedPostgres(of=postgres.controlled, how=how, behind=None)


@pytest.mark.parametrize("how", ["smart", "fast", "crash"])
def test_ended_postgres_comes_back_with_what_was_committed(
    postgres: PostgresLab, how: Ending
) -> None:
    with postgres.client() as client:
        client.execute("CREATE TABLE IF NOT EXISTS kept (way text)")
        client.execute("INSERT INTO kept VALUES (%s)", [how])
    fault = ended(postgres, how)
    undo = fault.prepare("run")
    fault.harm(undo)
    assert processes.running(postgres.pid_file) is None
    with pytest.raises(psycopg.OperationalError):
        connect(postgres.login)
    from_another_process(undo).replay()
    with connect(postgres.login) as client:
        ways = client.execute("SELECT way FROM kept").fetchall()
    assert (how,) in ways


@pytest.mark.parametrize("how", ["fast", "crash"])
def test_a_postgres_that_others_started_comes_back_as_they_started_it(
    postgres: PostgresLab, how: Ending, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFCHAOS_STATE_DIR", str(tmp_path))
    its_own = postgres.data / "postmaster.pid"  # with no record beside it
    of = replace(postgres.controlled, pid_file=str(its_own))
    owner = its_own.stat().st_uid
    try:
        fault = EndedPostgres(of=of, how=how, behind=None)
        undo = fault.prepare("run")
        fault.harm(undo)
        assert processes.running(its_own) is None
        from_another_process(undo).replay()
        with connect(postgres.login) as client:
            # A setting that is in its arguments alone.
            assert client.execute("SHOW max_connections").fetchone() == ("20",)
        assert its_own.stat().st_uid == owner
    finally:
        processes.kill(its_own)


def test_smart_shutdown_does_not_wait_for_ever_for_a_client(postgres: PostgresLab) -> None:
    fault = ended(postgres, "smart")
    undo = fault.prepare("run")
    with postgres.client():
        fault.harm(undo)
    assert processes.running(postgres.pid_file) is None
    undo.replay()


def test_undo_of_an_end_that_never_came_changes_nothing(postgres: PostgresLab) -> None:
    before = processes.running(postgres.pid_file)
    ended(postgres, "crash").prepare("run").replay()
    assert processes.running(postgres.pid_file) == before


def test_data_that_fail_to_recover_are_left_alone_and_told_of(postgres: PostgresLab) -> None:
    fault = ended(postgres, "fast")
    undo = fault.prepare("run")
    fault.harm(undo)
    control = postgres.data / "global" / "pg_control"
    aside = control.with_name("pg_control.aside")
    control.rename(aside)
    files = sorted(path.name for path in postgres.data.iterdir())
    with pytest.raises(DidNotComeBack) as caught:
        undo.replay()
    said = str(caught.value)
    assert "ended while starting and is stopped" in said
    assert "pg_control" in said  # the last words of its log
    assert "repair it or restore a backup" in said
    assert sorted(path.name for path in postgres.data.iterdir()) == files
    aside.rename(control)
    undo.replay()


def test_ended_postgres_cannot_be_ended_again(postgres: PostgresLab) -> None:
    fault = ended(postgres, "fast")
    undo = fault.prepare("run")
    fault.harm(undo)
    with pytest.raises(PerfchaosError, match="is not running"):
        fault.prepare("run")
    undo.replay()


def test_read_only_postgres_reads_and_does_not_write(postgres: PostgresLab) -> None:
    fault = ReadOnlyPostgres(login=postgres.login)
    undo = fault.prepare("run")
    with postgres.client() as before:
        fault.harm(undo)
        with pytest.raises(psycopg.OperationalError):
            before.execute("SELECT 1")  # It was ended: it would have gone on writing.
    with postgres.client() as client:
        assert client.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            client.execute("CREATE TABLE refused ()")
    from_another_process(undo).replay()
    with postgres.client() as client:
        client.execute("CREATE TABLE written ()")
        client.execute("DROP TABLE written")


def test_read_only_undone_twice_ends_no_session(postgres: PostgresLab) -> None:
    fault = ReadOnlyPostgres(login=postgres.login)
    undo = fault.prepare("run")
    fault.harm(undo)
    undo.replay()
    with postgres.client() as client:
        undo.replay()
        client.execute(PROOF_OF_WRITING)


def test_read_only_undo_that_was_killed_half_way_is_done_by_the_next(
    postgres: PostgresLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = ReadOnlyPostgres(login=postgres.login)
    undo = fault.prepare("run")
    fault.harm(undo)
    with postgres.client() as stale:
        stale.execute("SELECT 1")
        with monkeypatch.context() as patched:
            patched.setattr("perfchaos.faults.read_only_postgres.end_sessions", _killed)
            with pytest.raises(KeyboardInterrupt):
                undo.replay()
        undo.replay()
        with pytest.raises(psycopg.OperationalError):
            stale.execute("SELECT 1")  # It would have been refused every write from now on.


def _killed(_: object) -> int:
    raise KeyboardInterrupt


APPLICATION = "application"


@pytest.fixture
def application(postgres: PostgresLab) -> Iterator[Login]:
    """The login of an application that does not own the database it writes to."""
    with postgres.superuser() as admin:
        admin.execute(f"CREATE ROLE {APPLICATION} LOGIN PASSWORD 'in the laboratory'".encode())
        admin.execute("CREATE TABLE of_all (number int)")
        admin.execute("GRANT ALL ON of_all TO PUBLIC")
        yield replace(postgres.login, user=APPLICATION)
        admin.execute("DROP TABLE of_all")
        admin.execute(f"DROP OWNED BY {APPLICATION}".encode())
        admin.execute(f"DROP ROLE {APPLICATION}".encode())


@contextmanager
def at_work(login: Login) -> Iterator[Connection]:
    with connect(login) as session:
        session.execute("SET application_name = 'at work'")
        session.execute("INSERT INTO of_all VALUES (1)")
        yield session


@contextmanager
def allowed_to_end_sessions(postgres: PostgresLab) -> Iterator[None]:
    with postgres.superuser() as admin:
        admin.execute(f"GRANT pg_signal_backend TO {postgres.login.user}".encode())
        yield
        admin.execute(f"REVOKE pg_signal_backend FROM {postgres.login.user}".encode())


def test_read_only_is_for_every_role(postgres: PostgresLab, application: Login) -> None:
    fault = ReadOnlyPostgres(login=postgres.login)
    with allowed_to_end_sessions(postgres), at_work(application) as session:
        undo = fault.prepare("run")
        try:
            fault.harm(undo)
            with pytest.raises(psycopg.OperationalError):
                session.execute("INSERT INTO of_all VALUES (2)")
            with (
                pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
                connect(application) as again,
            ):
                again.execute("INSERT INTO of_all VALUES (3)")
            with connect(application) as stale:
                stale.execute("SET application_name = 'came during the fault'")
                from_another_process(undo).replay()
                with pytest.raises(psycopg.OperationalError):
                    stale.execute("SELECT 1")  # It would have been refused every write.
        finally:
            undo.replay()
        with at_work(application):
            pass


@pytest.mark.parametrize("fault", [ReadOnlyPostgres, partial(HeldConnections, evict=True)])
def test_sessions_that_may_not_be_ended_are_named_before_any_harm(
    postgres: PostgresLab, application: Login, fault: type[ReadOnlyPostgres]
) -> None:
    with at_work(application):
        with pytest.raises(NotReached, match=rf"sessions of '{APPLICATION}' \(1\)"):
            fault(login=postgres.login).prepare("run")
    with allowed_to_end_sessions(postgres), postgres.superuser() as admin:
        admin.execute("SET application_name = 'a person'")
        with pytest.raises(NotReached, match=r"sessions of 'superuser' \(1\)"):
            fault(login=postgres.login).prepare("run")


@pytest.mark.parametrize(
    ("own", "in_database", "stays_writable"),
    [
        (None, None, False),
        ("off", None, True),
        ("f", None, True),
        ("on", None, False),
        (None, "off", True),
        ("on", "off", True),
        ("off", "on", False),
    ],
)
def test_a_role_with_a_setting_of_its_own_is_named_before_any_harm(
    postgres: PostgresLab,
    application: Login,
    own: str | None,
    in_database: str | None,
    stays_writable: bool,
) -> None:
    name, setting = postgres.login.database, "default_transaction_read_only"
    with postgres.superuser() as admin:
        for where, value in (("", own), (f" IN DATABASE {name}", in_database)):
            if value is not None:
                admin.execute(f"ALTER ROLE {APPLICATION}{where} SET {setting} = {value}".encode())
    told = pytest.raises(NotReached, match=f"stay writable for '{APPLICATION}'")
    with told if stays_writable else nullcontext():
        ReadOnlyPostgres(login=postgres.login).prepare("run")


def test_a_session_that_makes_itself_writable_is_found_when_it_writes(
    postgres: PostgresLab, application: Login
) -> None:
    fault = ReadOnlyPostgres(login=postgres.login)
    with allowed_to_end_sessions(postgres):
        undo = fault.prepare("run")
        fault.harm(undo)
        try:
            undo.see_it_in_force()
            with connect(application, options="-c default_transaction_read_only=off") as session:
                session.execute("SET application_name = 'disobedient'")
                with session.transaction():
                    session.execute("INSERT INTO of_all VALUES (4)")
                    with pytest.raises(NotReached, match=rf"'{APPLICATION}' \(1\) write"):
                        undo.see_it_in_force()
        finally:
            undo.replay()


def test_read_only_and_held_connections_taken_away_are_noticed(postgres: PostgresLab) -> None:
    read_only = ReadOnlyPostgres(login=postgres.login).prepare("run")
    with pytest.raises(FaultVanished, match="no longer 'on'"):
        read_only.see_it_in_force()
    ReadOnlyPostgres(login=postgres.login).harm(read_only)
    read_only.see_it_in_force()
    read_only.replay()
    with pytest.raises(FaultVanished, match="no longer 'on'"):
        read_only.see_it_in_force()
    held = HeldConnections(login=postgres.login, evict=False)
    holder = held.prepare("run")
    held.harm(holder)
    holder.see_it_in_force()
    processes.kill(Path(holder.pid_file))
    with pytest.raises(FaultVanished, match="holds the connections"):
        holder.see_it_in_force()
    holder.replay()


def test_setting_somebody_else_made_is_put_back(postgres: PostgresLab) -> None:
    setting = "SELECT setconfig FROM pg_db_role_setting WHERE setrole = 0"
    name = postgres.login.database
    with postgres.client() as client:
        client.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = off".encode())
        client.execute(f"ALTER DATABASE {name} SET work_mem = '5MB'".encode())
        before = client.execute(setting).fetchone()
    fault = ReadOnlyPostgres(login=postgres.login)
    undo = fault.prepare("run")
    fault.harm(undo)
    undo.replay()
    with postgres.client() as client:
        after = client.execute(setting).fetchone()
        client.execute(f"ALTER DATABASE {name} RESET ALL".encode())
    assert before is not None
    assert after is not None
    assert sorted(after[0]) == sorted(before[0])


def test_read_only_already_is_refused(postgres: PostgresLab) -> None:
    fault = ReadOnlyPostgres(login=postgres.login)
    undo = fault.prepare("run")
    fault.harm(undo)
    with pytest.raises(PerfchaosError, match="read-only already"):
        fault.prepare("run")
    undo.replay()


@pytest.mark.parametrize("evict", [False, True])
def test_held_connections_leave_none(
    postgres: PostgresLab, evict: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFCHAOS_STATE_DIR", str(tmp_path))
    fault = HeldConnections(login=postgres.login, evict=evict)
    undo = fault.prepare("run")
    with postgres.client() as client:
        try:
            fault.harm(undo)
            with pytest.raises(psycopg.OperationalError, match=r"slots|too many clients"):
                connect(postgres.login).close()
            with pytest.raises(psycopg.OperationalError) if evict else nullcontext():
                client.execute("SELECT pg_sleep(0.2)")
        finally:
            from_another_process(undo).replay()
    _await_a_slot(postgres)
    from_another_process(undo).replay()  # and once more, which changes nothing


def _await_a_slot(postgres: PostgresLab) -> None:
    """The server notices within a moment that the holder's sessions are gone."""
    for _ in range(200):
        try:
            connect(postgres.login).close()
        except psycopg.OperationalError:
            continue
        return
    raise AssertionError("no connection to be had")


def test_every_undo_survives_its_process() -> None:
    address = ToxiproxyAddress(url="http://127.0.0.1:1")
    state = ProxyState(name="p", listen="l", upstream="u", enabled=True, toxics=())
    proxy = RestoreProxy(toxiproxy=address, proxy="p", enabled=True, proxies=(state,))
    start = StartProcess(
        pid_file="postgres.pid",
        emptied=False,
        ended=Process(pid=7, started="then"),
        grace_s=20.0,
    )
    for undo in (
        StartPostgres(start=start, proxy=proxy, host="127.0.0.1", port=1),
        StartPostgres(start=start, proxy=None, host="127.0.0.1", port=1),
        EndHolder(pid_file="run.pid"),
    ):
        assert from_another_process(undo) == undo


def test_undo_holds_no_password(postgres: PostgresLab) -> None:
    undo = ReadOnlyPostgres(login=postgres.login).prepare("run")
    assert isinstance(undo, MakeWritable)
    assert "in the laboratory" not in json.dumps(mechanisms.to_document(undo))
