"""Healing one lease: undo the harm, see it undone on the data plane, close the lease."""

import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from perfchaos.errors import PerfchaosError
from perfchaos.faults.fault import NotHealed
from perfchaos.faults.witness import Sighting, Symptom, Witness
from perfchaos.safety.lease import Lease, LeaseFile
from perfchaos.timeline import Timeline

RUN = "run"
"""The healer's name when it is the run itself."""

_SECOND_LOOKS_S = (0.1, 0.3, 1.0, 3.0)
# Against a server that hangs each try takes two seconds more.
_BACKOFF_S = (0.05, 0.3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Healed:
    """
    A lease that was healed: undone at `at_ns`, `normal` on the data plane.

    `normal` is None where the fault could not be seen there.
    """

    lease: Lease
    by: str
    at_ns: int
    normal: Sighting | None

    def as_document(self) -> dict[str, str | None]:
        """As it stands in a verdict, with wall times."""
        return {
            "lease": self.lease.id,
            "kind": self.lease.kind,
            "dependency": self.lease.dependency,
            "mechanism": self.lease.undo.mechanism,
            "healed_by": self.by,
            "healed_at": _wall(self.at_ns),
            "back_to_normal_at": _wall(self.normal.at_ns) if self.normal else None,
        }


def heal(
    leases: LeaseFile, lease: Lease, *, by: str, timeline: Timeline | None = None
) -> Healed | None:
    """
    Undo the harm of a lease, see it gone, close it; None if another healer was first.

    The run itself undoes its harm even then: the other may have come before the harm was done.
    Tries again with a growing pause, then resorts to the mechanism's last means. Records `fault
    healed` when the undo has been read back, and `fault back to normal` when it has been seen.

    Raises:
        NotHealed: it could not be undone, or is still to be seen; the lease stays open.

    """
    with leases.claimed(lease):
        if lease.id not in {left.id for left in leases.read().open}:
            if by == RUN:
                _replay(lease)
            return None
        with ExitStack() as stack:
            witness = None
            if lease.symptom is not None:
                witness = stack.enter_context(Witness(lease.symptom, healthy=False))
            begun_ns = time.monotonic_ns()
            _replay(lease)
            healed_ns = time.monotonic_ns()
            _record(timeline, "fault healed", lease, healed_ns, by=by)
            normal = None
            if witness is not None and lease.symptom is not None:
                normal = _see_normal(lease, lease.symptom, witness, begun_ns)
                facts = {
                    "resolution_ms": normal.resolution_ms,
                    "after_ms": (normal.at_ns - begun_ns) / 1e6,
                }
                _record(timeline, "fault back to normal", lease, normal.at_ns, by=by, **facts)
            _close(leases, lease, by)
    return Healed(lease=lease, by=by, at_ns=healed_ns, normal=normal)


def look_again(in_doubt: Sequence[Lease]) -> None:
    """
    Undo again, several times over three seconds, what was interrupted while it was being done.

    A request that was on its way to a server, or a signal to a process that takes its time, may
    have its effect after the healing.
    """
    begun_s = time.monotonic()
    for look_s in _SECOND_LOOKS_S if in_doubt else ():
        time.sleep(max(0.0, begun_s + look_s - time.monotonic()))
        for lease in in_doubt:
            with suppress(PerfchaosError):
                lease.undo.replay()


def _replay(lease: Lease) -> None:
    for pause_s in _BACKOFF_S:
        with suppress(PerfchaosError):
            return lease.undo.replay()
        time.sleep(pause_s)
    try:
        lease.undo.last_resort()
    except PerfchaosError as error:
        raise NotHealed(
            f"{lease.dependency} {lease.kind!r} was not healed: {error.problem}",
            next_step=f"run 'perfchaos heal', or by hand: {lease.undo}",
        ) from error


def _see_normal(lease: Lease, symptom: Symptom, witness: Witness, begun_ns: int) -> Sighting:
    within_s = symptom.gone_within_s
    normal = witness.sees_normal(since_ns=begun_ns, within_s=within_s)
    if normal is None:
        raise NotHealed(
            f"{lease.dependency} {lease.kind!r} was undone, but {symptom.route} "
            f"is not back to normal after {within_s:g} s",
            next_step=f"see that {lease.dependency} itself is up, then run 'perfchaos heal'",
        )
    return normal


def _close(leases: LeaseFile, lease: Lease, by: str) -> None:
    try:
        leases.close(lease, by=by)
    except PerfchaosError as error:
        raise NotHealed(
            f"{lease.dependency} {lease.kind!r} is healed, but that could not be noted "
            f"({error.problem})",
            next_step="free space or make the folder writable, then run 'perfchaos heal'",
        ) from error


def _wall(at_ns: int) -> str:
    behind_s = (time.monotonic_ns() - at_ns) / 1e9
    return datetime.fromtimestamp(time.time() - behind_s, UTC).isoformat(timespec="milliseconds")


def _record(
    timeline: Timeline | None, name: str, lease: Lease, at_ns: int, **facts: str | float
) -> None:
    if timeline is not None:
        with suppress(OSError):  # A full disk must not keep anybody from healing.
            timeline.record(name, at_ns=at_ns, lease=lease.id, **facts)
