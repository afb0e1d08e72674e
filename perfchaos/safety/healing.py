"""Healing one lease: undo the harm, see it undone on the data plane, close the lease."""

import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from perfchaos.errors import PerfchaosError
from perfchaos.faults.fault import FaultVanished, NotHealed
from perfchaos.faults.witness import Sighting, Symptom, Witness
from perfchaos.safety.lease import Contents, Lease, LeaseFile
from perfchaos.timeline import Timeline

RUN = "run"
"""The healer's name when it is the run itself."""

_DOUBT_LOOK_S = 0.25
# Against a server that hangs each try takes two seconds more.
_BACKOFF_S = (0.05, 0.3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Healed:
    """
    A lease that was healed: undone at `at_ns`, `normal` on the data plane.

    `normal` is None where the fault could not be seen there. While `in_doubt_s` is above zero its
    harm may still land, and the lease is open: seconds, infinite while its run is alive.
    """

    lease: Lease
    by: str
    at_ns: int
    normal: Sighting | None
    in_doubt_s: float = 0.0

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

    A lease whose harm may still land stays open: `settle` looks again until it can no longer.

    The run itself undoes its harm even then: the other may have come before the harm was done.
    Tries again with a growing pause, then resorts to the mechanism's last means. Records `fault
    healed` when the undo has been read back, and `fault back to normal` when it has been seen.

    Raises:
        NotHealed: it could not be undone, or is still to be seen; the lease stays open.

    """
    with leases.claimed(lease):
        contents = leases.read()
        found = [left for left in contents.open if left.id == lease.id]
        if not found:
            if by == RUN:
                _replay(lease)
            return None
        in_doubt_s = _in_doubt_s(leases, contents, found[0], by)
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
            if in_doubt_s <= 0:
                _close(leases, lease, by)
    return Healed(lease=lease, by=by, at_ns=healed_ns, normal=normal, in_doubt_s=in_doubt_s)


def settle(
    leases: LeaseFile, healed: Healed, *, by: str, timeline: Timeline | None = None
) -> Healed | None:
    """
    Look again, for as long as the harm of a healed lease may land; undo it when it has; close it.

    The last healing there was; None if another healer closed the lease.

    Raises:
        NotHealed: it could not be undone, or is still to be seen; the lease stays open.

    """
    last: Healed | None = healed
    deadline_s = time.monotonic() + healed.in_doubt_s
    while last is not None and last.in_doubt_s > 0:
        time.sleep(max(0.0, min(_DOUBT_LOOK_S, deadline_s - time.monotonic())))
        over = time.monotonic() >= deadline_s
        if _landed(last.lease):
            last = heal(leases, last.lease, by=by, timeline=timeline)
        elif over:
            return _close_settled(leases, last, by)
    return last


def _close_settled(leases: LeaseFile, healed: Healed, by: str) -> Healed | None:
    """Close a lease that nothing has come of since it was healed; None if another has closed it."""
    with leases.claimed(healed.lease):
        if healed.lease.id not in {left.id for left in leases.read().open}:
            return None
        _close(leases, healed.lease, by)
    return replace(healed, in_doubt_s=0.0)


def _landed(lease: Lease) -> bool:
    """Whether its harm is in force; where that cannot be seen, as if it were."""
    try:
        lease.undo.see_it_in_force()
    except FaultVanished:
        return False
    except PerfchaosError:
        return True
    return True


def _in_doubt_s(leases: LeaseFile, contents: Contents, lease: Lease, by: str) -> float:
    """For how long its harm may still land, as far as is known before the healing."""
    if lease.done:
        return 0.0
    if by != RUN and contents.run is not None and contents.run.alive():
        return float("inf")  # It may be at it this very moment.
    try:
        return leases.doubt(lease).left_s()
    except PerfchaosError:  # A full disk must not keep anybody from healing.
        return lease.undo.lands_within_s


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
