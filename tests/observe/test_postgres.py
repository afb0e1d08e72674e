"""What a look at a real Postgres finds."""

from collections.abc import Iterator

import pytest

from perfchaos import processes
from perfchaos.faults.read_only_postgres import ReadOnlyPostgres
from perfchaos.observe.postgres import PostgresLook, PostgresState
from perfchaos.observe.sampler import Reading
from tests.postgres_lab import PostgresLab
from tests.waiting import eventually

pytest_plugins = ["tests.postgres_fixtures"]


@pytest.fixture
def look(postgres: PostgresLab) -> Iterator[PostgresLook]:
    with PostgresLook(postgres.login, pid_file=postgres.pid_file) as opened:
        yield opened


def test_healthy_server_writes(look: PostgresLook) -> None:
    state = look.look()
    assert (state.process, state.accepts, state.writes) == (True, True, True)
    assert state.missed_ns is None
    assert state.sqlstate is None


def test_own_sessions_are_not_the_targets(postgres: PostgresLab, look: PostgresLook) -> None:
    before = look.look().sessions
    with postgres.client():
        during = look.look().sessions
    assert before is not None
    assert during is not None
    assert during.connections == before.connections + 1
    assert during.started >= 1


def test_who_is_not_used_is_counted_by_how_long(postgres: PostgresLab, look: PostgresLook) -> None:
    with postgres.client() as client:
        [(before,)] = client.execute("SELECT pg_backend_pid()").fetchall()
        eventually(lambda: _unused(look))
        assert 1 <= _unused(look)[0] < 1e5
        assert client.execute("SELECT pg_backend_pid()").fetchone() == (before,)
        assert _unused(look) == ()


def _unused(look: PostgresLook) -> tuple[float, ...]:
    state = PostgresState.of(Reading(at_ns=0, values=look(), failed=None))
    assert state is not None
    assert state.sessions is not None
    return state.sessions.unused_s


def test_proof_of_writing_leaves_no_table_touched(
    postgres: PostgresLab, look: PostgresLook
) -> None:
    count = "SELECT count(*) FROM pg_class"
    with postgres.client() as client:
        before = client.execute(count).fetchone()
        assert look.look().writes
        assert client.execute(count).fetchone() == before


def test_looks_save_nothing_that_the_target_did_not_wait_for(
    postgres: PostgresLab, look: PostgresLook
) -> None:
    with postgres.client() as client:
        client.execute("CREATE TABLE IF NOT EXISTS hasty (at timestamptz)")
        assert look.look().writes  # The first one waits for the disk.
        client.execute("SET synchronous_commit = off")
        client.execute("INSERT INTO hasty VALUES (now())")
        for _ in range(3):
            assert look.look().writes
        unsaved = "SELECT pg_current_wal_insert_lsn() > pg_current_wal_flush_lsn()"
        assert client.execute(unsaved).fetchone() == (True,)


def test_killed_server_is_gone_and_back(postgres: PostgresLab, look: PostgresLook) -> None:
    assert look.look().writes
    processes.kill(postgres.pid_file)
    gone = look.look()
    assert (gone.process, gone.accepts, gone.writes, gone.sessions) == (False, False, False, None)
    processes.start_again(postgres.pid_file)
    for _ in range(100):
        if (back := look.look()).writes:
            break
    assert back.writes
    assert back.process


def test_server_that_cannot_write_is_seen_to_read_only(postgres: PostgresLab) -> None:
    fault = ReadOnlyPostgres(login=postgres.login)
    undo = fault.prepare("run")
    fault.harm(undo)
    with PostgresLook(postgres.login, pid_file=None) as look:
        state = look.look()
    undo.replay()
    assert (state.process, state.accepts, state.writes) == (None, True, False)


def test_paused_server_does_not_hold_a_look_up(postgres: PostgresLab, look: PostgresLook) -> None:
    assert look.look().writes
    processes.pause(postgres.pid_file)
    silent = look.look()
    processes.resume(postgres.pid_file)
    assert not silent.writes


def test_state_survives_its_reading(look: PostgresLook) -> None:
    state = look.look()
    assert PostgresState.of(Reading(at_ns=1, values=state.facts(), failed=None)) == state
    assert PostgresState.of(Reading(at_ns=1, values={}, failed="no")) is None
