"""
Injecting a fault under a lease: written down, done, seen, held, healed, seen healed.

Events on the timeline, each with the `lease` it belongs to:

    fault injected        about to be done (kind, dependency, mechanism)
    fault in force        seen on the data plane (seen, after_ms, resolution_ms), or, where a ping
                          cannot tell, read back from whoever does it (seen "read back")
    fault revoked         the hold was cut short (reason)
    fault healed          undone and read back (by)
    fault back to normal  seen on the data plane (by, after_ms, resolution_ms); the read-back of
                          `fault healed` may come a moment later than this

Every mechanism's own name stands in `mechanism`: "toxiproxy toxic", "toxiproxy proxy", …
"""

import itertools
import os
import select
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from perfchaos.errors import PerfchaosError, Unanswered
from perfchaos.faults.fault import Fault, FaultNotSeen, FaultVanished, Undo
from perfchaos.faults.witness import Sighting, Witness
from perfchaos.safety.blast_radius import require_allowed
from perfchaos.safety.healing import RUN, Healed, heal, settle
from perfchaos.safety.lease import Deadline, Lease, LeaseFile
from perfchaos.timeline import Timeline

if TYPE_CHECKING:
    from perfchaos.target import BlastRadius

# Those that Chaos Toolkit, or Python, turns into exceptions.
_RAISING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)

_SEEN_WITHIN_S = 2.0
_HOLD_PING_INTERVAL_S = 0.25
# The hold looks up this often whether the fault is still there, and wakes at once when revoked.
_HOLD_LOOK_S = 0.5


class Revoked(PerfchaosError):
    """The fault was taken back before its time: by the guard, a deadline, or a person."""


class Rehearsed(PerfchaosError):
    """The end of a fault that was only described."""


class Revocation:
    """
    A switch that ends every hold of a run at once, from any thread.

    It is waited for at a pipe. A lock would do, but for the signals that are raised as exceptions
    in whatever the main thread is at: two in a row, and the lock's own error hides them both.
    """

    def __init__(self) -> None:
        self._reason: str | None = None
        self._heard = False
        self._thrown, self._throw = os.pipe()
        for end in (self._thrown, self._throw):
            weakref.finalize(self, os.close, end)

    @property
    def reason(self) -> str | None:
        """Why it was thrown; None while it is not."""
        return self._reason

    def revoke(self, reason: str) -> None:
        """Throw it; the first reason stays."""
        if self._reason is None:
            self._reason = reason
            os.write(self._throw, b"!")  # Never read: it stays thrown.

    def wait(self, timeout_s: float) -> bool:
        """
        Wait for it; whether it is thrown.

        Who throws it also sends SIGTERM, to a main thread that may not be waiting here. One that
        was is spared that signal: it would come in the midst of the run's ending.
        """
        poller = select.poll()
        poller.register(self._thrown, select.POLLIN)
        thrown = bool(poller.poll(max(timeout_s, 0) * 1000))
        if thrown and not self._heard and threading.current_thread() is threading.main_thread():
            self._heard = True
            _spare_one(signal.SIGTERM)
        return thrown


def _spare_one(number: signal.Signals) -> None:
    """Let the next such signal do nothing; the one after it does again what it does now."""
    before = signal.getsignal(number)
    signal.signal(number, lambda *_: signal.signal(number, before))


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyNet:
    """
    What one run injects its faults under.

    With `rehearse`, nothing is: every fault is prepared, described to `rehearse`, and ends with
    `Rehearsed` where it would be held.
    """

    run_id: str
    leases: LeaseFile
    timeline: Timeline
    blast_radius: "BlastRadius"
    revocation: Revocation = field(default_factory=Revocation)
    rehearse: Callable[[str], None] | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _settling: list[threading.Thread] = field(default_factory=list)

    def new_lease_id(self) -> str:
        """The id of the next lease of this run."""
        return f"{self.run_id}/{next(self._numbers)}"

    def settle(self, healed: Healed) -> None:
        """Look again while a harm may land, beside the run, which may have more to heal."""
        settling = threading.Thread(target=self._settle, args=[healed], name="settling")
        self._settling.append(settling)
        settling.start()

    def wait_settled(self) -> None:
        """Return when no harm of this run can land any more."""
        for settling in self._settling:
            settling.join()

    def _settle(self, healed: Healed) -> None:
        with suppress(PerfchaosError):  # The lease stays open, and whoever comes next heals it.
            settle(self.leases, healed, by=RUN, timeline=self.timeline)


class Injected:
    """A fault in force, from `at_ns` on; `in_force` is None where only its maker vouches for it."""

    def __init__(
        self,
        lease: Lease,
        net: SafetyNet,
        *,
        at_ns: int,
        in_force: Sighting | None,
        witness: Witness | None,
    ) -> None:
        self.lease = lease
        self.at_ns = at_ns
        self.in_force = in_force
        self._net = net
        self._witness = witness
        self._held_until_ns = at_ns if in_force is None else in_force.at_ns

    def hold(self, duration_s: float) -> None:
        """
        Keep the fault in for `duration_s`, counted from when it came into force or the last hold.

        Raises:
            Revoked: it was taken back meanwhile.
            FaultVanished: it is no longer in force.
            Rehearsed: it never was in force, and would be held now.

        """
        if self._net.rehearse is not None:
            raise Rehearsed("nothing was harmed", next_step="run it without --dry")
        since_ns = time.monotonic_ns()
        self._held_until_ns += round(duration_s * 1e9)
        while (left_s := (self._held_until_ns - time.monotonic_ns()) / 1e9) > 0:
            if self._net.revocation.wait(min(left_s, _HOLD_LOOK_S)):
                reason = self._net.revocation.reason
                self._net.timeline.record("fault revoked", lease=self.lease.id, reason=reason)
                raise Revoked(
                    f"{self.lease.dependency} {self.lease.kind!r} was taken back: {reason}",
                    next_step="read the run's timeline",
                )
            self._ask_whether_it_is_there(since_ns)
        self.see_it_still_there()

    def see_it_still_there(self) -> None:
        """
        Ask at the end whether it is in force still: what it was for would not be shown.

        Raises:
            FaultVanished: it is not.
            PerfchaosError: nobody can tell, because who was asked does not answer.

        """
        if self._net.rehearse is None:
            self.lease.undo.see_it_in_force()

    def _ask_whether_it_is_there(self, since_ns: int) -> None:
        with suppress(Unanswered):  # Asked once more at the end.
            self.lease.undo.see_it_in_force()
        symptom = self.lease.symptom
        if self._witness is None or symptom is None or not symptom.steady:
            return
        if self._witness.sees_normal(since_ns=since_ns, within_s=0):
            raise FaultVanished(
                f"{self.lease.dependency} {self.lease.kind!r} is no longer in force",
                next_step="find out who else changes this dependency during the run",
            )


@contextmanager
def inject[U: Undo](fault: Fault[U], net: SafetyNet, *, at_most_s: float) -> Iterator[Injected]:
    """
    Inject `fault` on entering, heal it on leaving, whatever happens in between.

    `at_most_s` is the lease's deadline: if this process has not healed the fault by then, the
    watchdog does. Within, `injected.hold(duration_s)`.

    Raises:
        InvalidInput: the target file's blast radius does not allow it.
        PerfchaosError: it could not be injected.
        FaultNotSeen: it was injected, but the data plane does not show it. It is healed.
        NotHealed: it could not be healed, or the data plane does not show that it was.

    """
    require_allowed(
        net.blast_radius,
        fault.reach,
        at_most_s=at_most_s,
        what=f"{fault.dependency} {fault.kind!r} on {fault.reach}",
    )
    if net.revocation.wait(0):
        raise Revoked(
            f"{fault.dependency} {fault.kind!r} was not injected: {net.revocation.reason}",
            next_step="read the run's timeline",
        )
    undo = fault.prepare(net.run_id)
    lease = Lease(
        id=net.new_lease_id(),
        kind=fault.kind,
        dependency=fault.dependency,
        undo=undo,
        symptom=fault.symptom,
        deadline=Deadline.after(at_most_s),
    )
    if net.rehearse is not None:
        net.rehearse(
            f"{fault.dependency} {fault.kind!r} by {undo.mechanism} on {fault.reach}, "
            f"healed within {at_most_s:g} s by: {undo}"
        )
        yield Injected(lease, net, at_ns=time.monotonic_ns(), in_force=None, witness=None)
        return
    with ExitStack() as stack:
        witness = None
        if fault.symptom is not None:
            witness = stack.enter_context(Witness(fault.symptom, healthy=True))
        net.leases.open(lease)
        try:
            injected = _harm(fault, undo, lease, net, witness)
            yield injected
        finally:
            with _signals_deferred():
                _heal(lease, net)


def _heal(lease: Lease, net: SafetyNet) -> None:
    healed = heal(net.leases, lease, by=RUN, timeline=net.timeline)
    if healed is not None and healed.in_doubt_s > 0:
        net.settle(healed)


@contextmanager
def _signals_deferred() -> Iterator[None]:
    """
    What signals would raise in the main thread within this, they raise after it.

    Nobody else would take a healing up that is given up half-way, if the watchdog is dead.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python runs no handler here.
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number)) for number in _RAISING
    }
    try:
        yield
    finally:
        for restored, handler in before.items():
            signal.signal(restored, handler)
        for number in dict.fromkeys(came):
            os.kill(os.getpid(), number)


def _harm[U: Undo](
    fault: Fault[U], undo: U, lease: Lease, net: SafetyNet, witness: Witness | None
) -> Injected:
    at_ns = net.timeline.record(
        "fault injected",
        lease=lease.id,
        kind=fault.kind,
        dependency=fault.dependency,
        mechanism=undo.mechanism,
    ).at_ns
    try:
        fault.harm(undo)
    except Unanswered:
        raise
    except PerfchaosError:
        net.leases.done(lease)  # It was answered: nothing of it is on its way.
        raise
    net.leases.done(lease)
    if witness is None or fault.symptom is None:
        net.timeline.record("fault in force", lease=lease.id, seen="read back")
        return Injected(lease, net, at_ns=at_ns, in_force=None, witness=None)
    sighting = witness.sees(since_ns=at_ns, within_s=_SEEN_WITHIN_S)
    if sighting is None:
        raise FaultNotSeen(
            f"{fault.dependency} {fault.kind!r} was injected, but {fault.symptom.route} shows "
            f"nothing of it within {_SEEN_WITHIN_S:g} s",
            next_step="see that the target file's proxy is the one the target goes through",
        )
    net.timeline.record(
        "fault in force",
        at_ns=sighting.at_ns,
        lease=lease.id,
        seen=sighting.fate,
        after_ms=(sighting.at_ns - at_ns) / 1e6,
        resolution_ms=sighting.resolution_ms,
    )
    witness.relax(_HOLD_PING_INTERVAL_S)
    return Injected(lease, net, at_ns=at_ns, in_force=sighting, witness=witness)
