"""Safety: no fault outlives its run, none is where it may not be, none is longer than allowed."""

from perfchaos.faults.fault import FaultVanished
from perfchaos.safety.blast_radius import refusals, target_refusals
from perfchaos.safety.guard import StopCondition, read_conditions
from perfchaos.safety.healing import Healed, heal
from perfchaos.safety.injection import (
    Injected,
    Rehearsed,
    Revocation,
    Revoked,
    SafetyNet,
    inject,
)
from perfchaos.safety.lease import Deadline, Lease, LeaseFile, RunRecord, lease_files
from perfchaos.safety.leftovers import heal_leftovers
from perfchaos.safety.locks import Locked
from perfchaos.safety.protection import protect, require_harmable
from perfchaos.safety.watched import Watched

__all__ = [
    "Deadline",
    "FaultVanished",
    "Healed",
    "Injected",
    "Lease",
    "LeaseFile",
    "Locked",
    "Rehearsed",
    "Revocation",
    "Revoked",
    "RunRecord",
    "SafetyNet",
    "StopCondition",
    "Watched",
    "heal",
    "heal_leftovers",
    "inject",
    "lease_files",
    "protect",
    "read_conditions",
    "refusals",
    "require_harmable",
    "target_refusals",
]
