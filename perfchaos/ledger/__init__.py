"""What was promised against what is held: lost, duplicated, phantom, recovered."""

from perfchaos.ledger.measuring import duplicated, lost, phantom, report, waiting
from perfchaos.ledger.reconciling import Fates, Held, Ledger, are_in, reconcile
from perfchaos.ledger.settling import Books

__all__ = [
    "Books",
    "Fates",
    "Held",
    "Ledger",
    "are_in",
    "duplicated",
    "lost",
    "phantom",
    "reconcile",
    "report",
    "waiting",
]
