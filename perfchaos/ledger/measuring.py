"""The ledger's counts as measurements, and the ledger as the verdict tells it."""

from perfchaos.ledger.reconciling import Ledger, Numbers
from perfchaos.recording.ids import id_of
from perfchaos.verdict import LedgerReport, Measurement

IDS_LISTED = 1000


def lost(ledger: Ledger) -> Measurement:
    """Acknowledged and nowhere; rests on everything that was acknowledged."""
    return _count("lost_count", ledger.lost, ledger.acked_count, in_queue=len(ledger.in_queue))


def duplicated(ledger: Ledger) -> Measurement:
    """Took effect more than once; rests on every request that could have."""
    return _count("duplicated_count", ledger.duplicated, _all(ledger))


def phantom(ledger: Ledger) -> Measurement:
    """Refused, and took effect all the same; rests on every request that could have."""
    return _count("phantom_count", ledger.phantom, _all(ledger), refused=ledger.refused_count)


def report(ledger: Ledger, seed: int) -> LedgerReport:
    """The ledger for the verdict; `seed` turns numbers back into ids."""
    return LedgerReport(
        acked=ledger.acked_count,
        refused=ledger.refused_count,
        indeterminate=ledger.indeterminate_count,
        lost=len(ledger.lost),
        duplicated=len(ledger.duplicated),
        phantom=len(ledger.phantom),
        recovered=len(ledger.recovered),
        in_queue=len(ledger.in_queue),
        lost_ids=_ids(ledger.lost, seed),
        duplicated_ids=_ids(ledger.duplicated, seed),
        phantom_ids=_ids(ledger.phantom, seed),
    )


def _count(name: str, numbers: Numbers, samples: int, **evidence: int) -> Measurement:
    return Measurement(
        name=name,
        phase=None,
        value=float(len(numbers)),
        unit="messages",
        samples=samples,
        evidence=evidence,
    )


def _all(ledger: Ledger) -> int:
    return ledger.acked_count + ledger.refused_count + ledger.indeterminate_count


def _ids(numbers: Numbers, seed: int) -> tuple[str, ...]:
    return tuple(id_of(seed, int(number)) for number in numbers[:IDS_LISTED])
