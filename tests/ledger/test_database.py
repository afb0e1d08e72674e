"""What a real Postgres holds of a run."""

import uuid
from dataclasses import replace

import numpy as np
import psycopg
import pytest

from perfchaos.errors import PerfchaosError
from perfchaos.ledger import Books, Fates
from perfchaos.ledger.database import held_by_database
from perfchaos.ledger.elsewhere import waiting_elsewhere
from perfchaos.ledger.measuring import report
from perfchaos.recording.ids import id_of
from perfchaos.target import Target
from tests.ledger.conftest import QUERY

type Effects = psycopg.Connection[tuple[object, ...]]

SEED = 20_040_229


def fill(effects: Effects, seed: int, numbers: range) -> None:
    """One effect for each of the requests, written as fast as Postgres takes it."""
    with effects.cursor() as cursor, cursor.copy("COPY effects FROM STDIN") as copy:
        for number in numbers:
            copy.write_row((id_of(seed, number),))


def test_each_id_is_held_as_often_as_it_is_there(effects: Effects, target: Target) -> None:
    fill(effects, SEED, range(10))
    fill(effects, SEED, range(3, 4))
    held = held_by_database(target, SEED)
    assert held.numbers.tolist() == list(range(10))
    assert held.counts.tolist() == [1, 1, 1, 2, 1, 1, 1, 1, 1, 1]


def test_ids_of_other_runs_and_of_strangers_are_not_ours(effects: Effects, target: Target) -> None:
    fill(effects, SEED, range(2))
    fill(effects, SEED + 1, range(5))
    effects.execute("INSERT INTO effects VALUES (%s)", (uuid.uuid4(),))
    assert held_by_database(target, SEED).numbers.tolist() == [0, 1]
    # Even a query that does not keep to the range.
    whole = replace(target, ledger_query="SELECT id, 1 FROM effects")
    assert held_by_database(whole, SEED).numbers.tolist() == [0, 1]


def test_a_query_that_does_not_group_counts_its_rows(effects: Effects, target: Target) -> None:
    fill(effects, SEED, range(2))
    fill(effects, SEED, range(1))
    ungrouped = replace(target, ledger_query="SELECT id::text, 1 FROM effects")
    assert held_by_database(ungrouped, SEED).counts.tolist() == [2, 1]


@pytest.mark.parametrize("end", [";", "\n;\n", " -- the effects", " ORDER BY id LIMIT 5"])
def test_a_query_may_end_as_people_end_them(effects: Effects, target: Target, end: str) -> None:
    fill(effects, SEED, range(3))
    ended = replace(target, ledger_query=f"{QUERY}{end}")
    assert held_by_database(ended, SEED).numbers.tolist() == [0, 1, 2]


@pytest.mark.parametrize("written", ["upper(id::text)", "id::text", "id"])
def test_ids_may_be_text_and_counts_any_number(
    effects: Effects, target: Target, written: str
) -> None:
    fill(effects, SEED, range(254, 259))
    query = f"SELECT {written}, sum(2)::numeric FROM effects GROUP BY id"
    held = held_by_database(replace(target, ledger_query=query), SEED)
    assert held.numbers.tolist() == [254, 255, 256, 257, 258]
    assert set(held.counts.tolist()) == {2}


def test_the_largest_number_of_a_request_is_read_back(effects: Effects, target: Target) -> None:
    fill(effects, SEED, range(2**48 - 1, 2**48))
    assert held_by_database(target, SEED).numbers.tolist() == [2**48 - 1]


def test_an_empty_database_holds_nothing(effects: Effects, target: Target) -> None:
    assert held_by_database(target, SEED).numbers.tolist() == []


def test_one_loss_and_one_duplicate_among_a_hundred_thousand_are_found_by_id(
    effects: Effects, target: Target
) -> None:
    fill(effects, SEED, range(100_000))
    effects.execute("DELETE FROM effects WHERE id = %s", (id_of(SEED, 12_345),))
    fill(effects, SEED, range(77_777, 77_778))
    none = np.empty(0, dtype=np.int64)
    fates = Fates(acked=np.arange(100_000, dtype=np.int64), refused=none, indeterminate=none)
    ledger = Books.of(target, SEED).settle(fates, drain_s=0, wait=lambda _: None)
    told = report(ledger, SEED)
    assert (told.lost, told.lost_ids) == (1, (id_of(SEED, 12_345),))
    assert (told.duplicated, told.duplicated_ids) == (1, (id_of(SEED, 77_777),))
    assert (told.phantom, told.in_queue) == (0, 0)


def test_what_is_still_on_its_way_is_waited_for(effects: Effects, target: Target) -> None:
    fill(effects, SEED, range(9))
    none = np.empty(0, dtype=np.int64)
    fates = Fates(acked=np.arange(10, dtype=np.int64), refused=none, indeterminate=none)
    waits: list[float] = []

    def arrives(duration_s: float) -> None:
        waits.append(duration_s)
        if len(waits) == 2:
            fill(effects, SEED, range(9, 10))

    ledger = Books.of(target, SEED).settle(fates, drain_s=30, wait=arrives)
    assert ledger.lost.tolist() == []
    assert len(waits) == 3  # Two looks have to agree.


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT id FROM effects", "1 columns"),
        ("SELECT id, 1 FROM no_such_table", "no_such_table"),
        ("SELEKT", "syntax error"),
        ("SELECT id, 'many' FROM effects", "bigint"),
        ("SELECT id, NULL FROM effects", "NULL times"),
    ],
)
def test_a_query_that_does_not_answer_the_question_is_named(
    effects: Effects, target: Target, query: str, said: str
) -> None:
    fill(effects, SEED, range(1))
    with pytest.raises(PerfchaosError, match=said):
        held_by_database(replace(target, ledger_query=query), SEED)


def test_a_wrong_password_is_never_told(
    effects: Effects, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_PASSWORD", "not-the-right-one")
    with pytest.raises(PerfchaosError, match="cannot be asked for the ledger") as raised:
        held_by_database(target, SEED)
    assert "not-the-right-one" not in str(raised.value)


def test_a_target_without_a_ledger_says_what_to_add(target: Target) -> None:
    with pytest.raises(PerfchaosError, match="sections 'postgres' and 'ledger'"):
        held_by_database(replace(target, ledger_query=None), SEED)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (
            "SELECT id, count(*) FROM effects WHERE false GROUP BY id",
            "it gave no row",
        ),
        ("SELECT 'all', count(*) FROM effects", "it gave, for one, 'all'"),
        (
            "SELECT replace(id::text, '-', ''), 1 FROM effects",
            "an id of this run in another form",
        ),
        ("SELECT 'ord-' || id::text, 1 FROM effects", "'ord-[0-9a-f-]+', which is an id of this"),
        ("SELECT gen_random_uuid(), 1 FROM effects", "it gave, for one, '[0-9a-f-]+'"),
        (
            "SELECT id, count(*) OVER () FROM effects",
            "each of 10 ids is held 10 times or more: it counts the rows of all",
        ),
    ],
)
def test_a_query_that_shows_nothing_of_the_run_is_named_and_nothing_is_called_lost(
    effects: Effects, target: Target, query: str, said: str
) -> None:
    fill(effects, SEED, range(10))
    none = np.empty(0, dtype=np.int64)
    fates = Fates(acked=np.arange(10, dtype=np.int64), refused=none, indeterminate=none)
    books = Books.of(replace(target, ledger_query=query), SEED)
    with pytest.raises(PerfchaosError, match=f"(?s)the ledger query .*{said}"):
        books.settle(fates, drain_s=0, wait=lambda _: None)


def test_a_query_of_one_s_own_shows_what_waits(effects: Effects, target: Target) -> None:
    fill(effects, SEED, range(3))
    query = "SELECT id FROM effects WHERE id BETWEEN %(first)s AND %(last)s"
    found = waiting_elsewhere(replace(target, waiting_query=query), SEED)
    assert (found.numbers.tolist(), found.entries_count) == ([0, 1, 2], 3)


def test_a_query_for_what_waits_that_fails_is_named(effects: Effects, target: Target) -> None:
    asked = replace(target, waiting_query="SELECT id FROM no_such_table")
    with pytest.raises(PerfchaosError, match=r"ledger\.waiting_query .*no_such_table"):
        waiting_elsewhere(asked, SEED)
