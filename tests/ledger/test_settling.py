"""When the books are closed, and what follows from what they do not show: literal looks."""

from collections.abc import Iterable
from itertools import repeat

import numpy as np
import pytest

from perfchaos.errors import PerfchaosError
from perfchaos.ledger import Books, Fates, Held, Ledger, duplicated, lost, phantom, waiting
from perfchaos.ledger.queue import Queued
from perfchaos.ledger.settling import Look
from perfchaos.recording.ids import id_of

SEED = 11


def look(
    held: dict[int, int] | None = None,
    queued: Iterable[int] = (),
    *,
    entries_count: int | None = None,
    overlooked: str | None = None,
    kept: bool = False,
) -> Look:
    numbers = np.array(sorted(queued), dtype=np.int64)
    held = dict(sorted((held or {}).items()))
    return Look(
        queued=Queued(
            numbers=numbers,
            entries_count=len(numbers) if entries_count is None else entries_count,
            overlooked=overlooked,
            kept=kept,
        ),
        held=Held(
            numbers=np.array(list(held), dtype=np.int64),
            counts=np.array(list(held.values()), dtype=np.int64),
        ),
    )


def settle(
    *looks: Look,
    acked: Iterable[int] = (),
    refused: Iterable[int] = (),
    drain_s: float = 15,
    books: Books | None = None,
) -> tuple[Ledger, int]:
    """The ledger of `looks`, the last of them again and again, and how many were needed."""
    now_s, count, coming = 0.0, 0, iter((*looks, *repeat(looks[-1], 1000)))

    def take() -> Look:
        nonlocal count
        count += 1
        return next(coming)

    def wait(duration_s: float) -> None:
        nonlocal now_s
        now_s += duration_s

    books = books or Books(look=take, seed=SEED)
    books.look = take
    fates = Fates(
        acked=np.array(sorted(acked), dtype=np.int64),
        refused=np.array(sorted(refused), dtype=np.int64),
        indeterminate=np.array([], dtype=np.int64),
    )
    return books.settle(fates, drain_s=drain_s, wait=wait, clock_s=lambda: now_s), count


def test_two_looks_that_agree_close_the_books() -> None:
    ledger, count = settle(look({0: 1, 1: 1}), acked=[0, 1])
    assert count == 2
    assert ledger.steady


def test_a_duplicate_due_at_the_next_look_is_seen() -> None:
    ledger, _ = settle(look({0: 1}), look({0: 2}), look({0: 2}), acked=[0])
    assert ledger.duplicated.tolist() == [0]


def test_looks_that_differ_do_not_close_the_books_though_all_is_held() -> None:
    ledger, count = settle(look({0: 1}), look({0: 1, 1: 1}), look({0: 1, 1: 2}), acked=[0, 1])
    assert ledger.duplicated.tolist() == [1]
    assert count == 4


def test_a_phantom_due_at_the_next_look_is_seen() -> None:
    ledger, _ = settle(look({0: 1}), look({0: 1, 5: 1}), acked=[0], refused=[5])
    assert phantom(ledger).value == 1


def test_what_is_in_the_queue_with_its_effect_there_is_waited_for() -> None:
    pending = [look({0: 1}, [0])] * 5
    ledger, count = settle(*pending, look({0: 2}), acked=[0])
    assert ledger.duplicated.tolist() == [0]
    assert count == 7


def test_what_stays_pending_though_its_effect_is_there_is_unknown_and_not_zero_twice() -> None:
    ledger, _ = settle(look({0: 1, 1: 1}, [1]), acked=[0, 1])
    found = duplicated(ledger)
    assert found.value is None
    assert "1 have had their effect and are still in the queue" in str(found.evidence["why"])
    assert lost(ledger).value == 0


def test_where_the_queue_keeps_what_is_done_nothing_done_is_pending() -> None:
    ledger, count = settle(look({0: 1}, [0], kept=True), acked=[0])
    assert (duplicated(ledger).value, count) == (0, 2)
    assert waiting(settle(look({0: 1}, [0, 1], kept=True), acked=[0, 1])[0]).value == 1


def test_a_duplicate_that_is_seen_counts_whatever_else_is_pending() -> None:
    ledger, _ = settle(look({0: 2, 1: 1}, [1]), acked=[0, 1])
    assert duplicated(ledger).value == 1


def test_effects_that_still_come_at_the_end_prove_no_absence() -> None:
    coming = [look({0: 1} | dict.fromkeys(range(1, n), 1)) for n in range(2, 40)]
    ledger, _ = settle(*coming, acked=range(100), drain_s=2)
    assert duplicated(ledger).value is None
    assert phantom(ledger).value is None


def test_what_the_load_goes_on_sending_is_not_waited_for() -> None:
    ledger, count = settle(look({0: 1, 7: 1}, [8]), look({0: 1, 7: 1, 8: 1}, [9, 10]), acked=[0])
    assert count == 2
    assert duplicated(ledger).value == 0


def test_acknowledged_and_waiting_is_counted_and_not_lost() -> None:
    ledger, _ = settle(look({0: 1}, [1, 2]), acked=[0, 1, 2])
    assert (waiting(ledger).value, lost(ledger).value) == (2, 0)


def test_without_any_worker_all_waits_and_the_query_is_not_to_blame() -> None:
    ledger, _ = settle(look({}, range(5)), acked=range(5))
    assert waiting(ledger).value == 5


def test_what_is_refused_and_waits_in_the_queue_may_be_a_phantom_yet() -> None:
    ledger, _ = settle(look({0: 1}, [5]), acked=[0], refused=[5])
    assert phantom(ledger).value is None


def test_a_query_that_never_showed_the_run_is_named_with_an_id_it_should_give() -> None:
    with pytest.raises(PerfchaosError, match=f"(?s)shows none of the 3 .*{id_of(SEED, 0)}"):
        settle(look({}, [2]), acked=[0, 1, 2])


def test_a_query_that_has_shown_the_run_once_is_believed_when_all_is_gone() -> None:
    books = Books(look=look, seed=SEED)
    settle(look({0: 1}), acked=[0], books=books)
    ledger, _ = settle(look({}), acked=[0, 1], books=books)
    assert lost(ledger).value == 2


def test_where_nothing_was_acknowledged_an_empty_ledger_is_right() -> None:
    assert lost(settle(look({}), refused=[1])[0]).value == 0


def test_a_queue_whose_entries_show_no_id_of_the_run_leaves_it_open_what_is_lost() -> None:
    ledger, _ = settle(look({0: 1}, [], entries_count=4), acked=[0, 1])
    found = lost(ledger)
    assert found.value is None
    assert "none of the 4 entries" in str(found.evidence["why"])


def test_a_queue_that_has_shown_the_run_once_is_believed() -> None:
    ledger, _ = settle(look({0: 1}, [1]), look({0: 1}, [], entries_count=4), acked=[0, 1])
    assert lost(ledger).value == 1


def test_an_empty_queue_hides_nothing() -> None:
    assert lost(settle(look({0: 1}), acked=[0, 1])[0]).value == 1


def test_a_place_that_the_target_file_overlooks_leaves_it_open_what_is_lost() -> None:
    ledger, _ = settle(look({0: 1}, overlooked="see there"), acked=[0, 1])
    assert lost(ledger).evidence["why"] == "see there"


def test_as_long_as_nothing_is_missing_nobody_asks_where_else_it_may_be() -> None:
    ledger, _ = settle(look({0: 1}, entries_count=4, overlooked="see there"), acked=[0])
    assert lost(ledger).value == 0
