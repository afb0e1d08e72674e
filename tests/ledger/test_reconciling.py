"""The ledger over literal histories."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from perfchaos.ledger import Fates, Held, Ledger, reconcile
from perfchaos.ledger.reconciling import Numbers
from perfchaos.recording import Outcome, Recorder, Recording


def numbers(found: Iterable[int]) -> Numbers:
    return np.array(sorted(found), dtype=np.int64)


def ledger(
    *,
    acked: Iterable[int] = (),
    refused: Iterable[int] = (),
    indeterminate: Iterable[int] = (),
    held: dict[int, int] | None = None,
    queued: Iterable[int] = (),
) -> Ledger:
    held = dict(sorted((held or {}).items()))
    return reconcile(
        Fates(acked=numbers(acked), refused=numbers(refused), indeterminate=numbers(indeterminate)),
        Held(numbers=numbers(held), counts=np.array(list(held.values()), dtype=np.int64)),
        numbers(queued),
    )


def test_the_fates_of_a_run_are_those_of_all_its_loads(tmp_path: Path) -> None:
    for series in (2, 0, 1):
        with Recorder(tmp_path / f"{series}.samples", epoch_ns=0, series=series) as recorder:
            for n, outcome in enumerate((Outcome.ACKED, Outcome.REFUSED, Outcome.INDETERMINATE)):
                recorder.write(n, n, 1, 1, 200, outcome, 0)
    found = Fates.of(Recording.open(tmp_path / f"{series}.samples") for series in (2, 0, 1))
    assert found.acked.tolist() == [0, 1 << 32, 2 << 32]
    assert found.refused.tolist() == [1, (1 << 32) + 1, (2 << 32) + 1]
    assert found.indeterminate.tolist() == [2, (1 << 32) + 2, (2 << 32) + 2]


def test_what_is_acked_and_held_once_is_nothing_to_report() -> None:
    found = ledger(acked=[0, 1, 2], held={0: 1, 1: 1, 2: 1})
    assert not any(len(n) for n in (found.lost, found.duplicated, found.phantom, found.in_queue))
    assert found.acked_count == 3


def test_acked_and_nowhere_is_lost() -> None:
    assert ledger(acked=[0, 1, 2], held={0: 1, 2: 1}).lost.tolist() == [1]


def test_acked_and_queued_is_neither_lost_nor_done() -> None:
    found = ledger(acked=[0, 1], held={0: 1}, queued=[1])
    assert found.lost.tolist() == []
    assert found.in_queue.tolist() == [1]


def test_held_and_still_queued_does_not_wait() -> None:
    # Delivered, done, and not yet confirmed to the queue.
    assert ledger(acked=[0], held={0: 1}, queued=[0]).in_queue.tolist() == []


@pytest.mark.parametrize("fate", ["acked", "refused", "indeterminate"])
def test_an_effect_that_happened_twice_is_duplicated_whatever_the_client_saw(fate: str) -> None:
    assert ledger(**{fate: [7]}, held={7: 2}).duplicated.tolist() == [7]


def test_refused_and_held_is_phantom() -> None:
    assert ledger(refused=[3, 4], held={4: 1}).phantom.tolist() == [4]


def test_refused_and_not_held_is_what_a_refusal_means() -> None:
    assert ledger(refused=[3]).phantom.tolist() == []


def test_indeterminate_and_held_is_recovered_and_never_lost() -> None:
    found = ledger(indeterminate=[1, 2], held={2: 1})
    assert found.recovered.tolist() == [2]
    assert found.lost.tolist() == []


def test_one_loss_and_one_duplicate_are_found_among_a_hundred_thousand() -> None:
    everything = np.arange(100_000, dtype=np.int64)
    counts = np.ones(100_000, dtype=np.int64)
    counts[77_777] = 2
    held = np.delete(everything, 12_345)
    found = reconcile(
        Fates(acked=everything, refused=numbers(()), indeterminate=numbers(())),
        Held(numbers=held, counts=np.delete(counts, 12_345)),
        numbers(()),
    )
    assert found.lost.tolist() == [12_345]
    assert found.duplicated.tolist() == [77_777]
