"""The ledger's counts as measurements, and the ledger as the verdict tells it."""

from perfchaos.ledger.reconciling import Ledger, Numbers
from perfchaos.recording.ids import id_of
from perfchaos.verdict import LedgerReport, Measurement

IDS_LISTED = 1000


def lost(ledger: Ledger) -> Measurement:
    """Acknowledged and nowhere; rests on everything that was acknowledged."""
    return _count(
        "lost_count",
        ledger.lost,
        ledger.acked_count,
        unless=ledger.doubt,
        in_queue=len(ledger.in_queue),
        not_found=len(ledger.lost),
    )


def waiting(ledger: Ledger) -> Measurement:
    """Acknowledged and still in the queue, without its effect: promised and not kept yet."""
    return _count("waiting_count", ledger.waiting, ledger.acked_count)


def duplicated(ledger: Ledger) -> Measurement:
    """
    Took effect more than once; rests on every request that could have.

    None is proven only once nothing is left that could have its effect again.
    """
    why = _not_over(ledger)
    if len(ledger.pending):
        why = (
            f"{len(ledger.pending):,} have had their effect and are still in the queue, so they "
            "may have it again: confirm a message once it is done"
        )
    return _count(
        "duplicated_count",
        ledger.duplicated,
        _all(ledger),
        unless=None if len(ledger.duplicated) else why,
        pending=len(ledger.pending),
    )


def phantom(ledger: Ledger) -> Measurement:
    """Refused, and took effect all the same; rests on every request that could have."""
    why = _not_over(ledger)
    if len(ledger.refused_waiting):
        why = f"{len(ledger.refused_waiting):,} were refused and wait in the queue all the same"
    return _count(
        "phantom_count",
        ledger.phantom,
        _all(ledger),
        unless=None if len(ledger.phantom) else why,
        refused=ledger.refused_count,
    )


def report(ledger: Ledger, seed: int, *, whole_run: bool = True) -> LedgerReport:
    """
    The ledger for the verdict; `seed` turns numbers back into ids.

    It is not of the `whole_run` where the run went no further than its baseline.
    """
    return LedgerReport(
        acked=ledger.acked_count,
        refused=ledger.refused_count,
        indeterminate=ledger.indeterminate_count,
        lost=len(ledger.lost) if ledger.doubt is None else None,
        duplicated=len(ledger.duplicated),
        phantom=len(ledger.phantom),
        recovered=len(ledger.recovered),
        in_queue=len(ledger.in_queue),
        waiting=len(ledger.waiting),
        missing=len(ledger.lost),
        whole_run=whole_run,
        doubt=ledger.doubt,
        lost_ids=_ids(ledger.lost, seed) if ledger.doubt is None else (),
        duplicated_ids=_ids(ledger.duplicated, seed),
        phantom_ids=_ids(ledger.phantom, seed),
    )


def _count(
    name: str, numbers: Numbers, samples: int, *, unless: str | None = None, **evidence: int
) -> Measurement:
    """How many they are; not measured where `unless` says why that cannot be told."""
    return Measurement(
        name=name,
        phase=None,
        value=None if unless else float(len(numbers)),
        unit="messages",
        samples=samples,
        evidence={**evidence, **({"why": unless} if unless else {})},
    )


def _not_over(ledger: Ledger) -> str | None:
    """Why more may come of it."""
    if ledger.steady:
        return None
    return "effects were still coming at the last look: give drain_s more seconds"


def _all(ledger: Ledger) -> int:
    return ledger.acked_count + ledger.refused_count + ledger.indeterminate_count


def _ids(numbers: Numbers, seed: int) -> tuple[str, ...]:
    return tuple(id_of(seed, int(number)) for number in numbers[:IDS_LISTED])
