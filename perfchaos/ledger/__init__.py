"""What was promised against what is held: lost, duplicated, phantom, recovered."""

from perfchaos.ledger.measuring import duplicated, lost, phantom, report
from perfchaos.ledger.reconciling import Fates, Held, Ledger, are_in, reconcile
from perfchaos.ledger.settling import settle

__all__ = [
    "Fates",
    "Held",
    "Ledger",
    "are_in",
    "duplicated",
    "lost",
    "phantom",
    "reconcile",
    "report",
    "settle",
]
