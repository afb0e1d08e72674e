"""Everything that must be in place before a run may harm anything, in one call."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from perfchaos.errors import InvalidInput, PerfchaosError, Unanswered
from perfchaos.faults.proxied import proxies_elsewhere, toxiproxy_of
from perfchaos.processes import Process
from perfchaos.safety import audit
from perfchaos.safety.blast_radius import target_refusals
from perfchaos.safety.guard import StopCondition
from perfchaos.safety.injection import SafetyNet
from perfchaos.safety.lease import LeaseFile, RunRecord
from perfchaos.safety.leftovers import heal_leftovers
from perfchaos.safety.locks import claim, require_unlocked
from perfchaos.safety.strays import remove_strays
from perfchaos.safety.watched import Watched, watch_over
from perfchaos.timeline import Timeline

if TYPE_CHECKING:
    from perfchaos.target import Target


def require_harmable(target: "Target") -> None:
    """
    See that nobody has locked the target, and that it stays inside its own blast radius.

    Raises:
        Locked: it is locked.
        InvalidInput: it leads to hosts it does not allow, or that look like production; or one of
            its proxies leads elsewhere than to the dependency it stands for.

    """
    require_unlocked(target.name)
    refused = target_refusals(target)
    if not refused:  # Else its Toxiproxy is not even asked.
        refused = proxies_elsewhere(target)
    if refused:
        raise InvalidInput(
            f"target file {target.path}",
            refused,
            next_step="run against a test system, and name its hosts in blast_radius.addresses",
        )


def protect(
    target: "Target",
    *,
    run_id: str,
    run_directory: Path,
    timeline: Timeline,
    conditions: Sequence[StopCondition] = (),
) -> Watched:
    """
    Claim the target, heal what earlier runs left, begin the lease file, start the watchdog.

    The answer's `net` is what faults are injected under. Call its `part` at the very end.

    Raises:
        Locked: the target is locked, or another run is under way on it.
        InvalidInput: the target is outside its blast radius.
        PerfchaosError: an earlier run's fault cannot be healed, the state directory cannot be
            written, or the watchdog does not start.

    """
    require_harmable(target)
    toxiproxy_url = target.toxiproxy.url if target.toxiproxy is not None else None
    claimed = claim(target.name, run_id=run_id, toxiproxy_url=toxiproxy_url)
    try:
        problems = [
            problem
            for leftover in heal_leftovers(by=f"run {run_id}")
            if leftover.target in (None, target.name)  # The harm of another target is not ours.
            for problem in leftover.problems
        ]
        if problems:
            raise PerfchaosError(
                f"an earlier run left harm: {'; '.join(problems)}",
                next_step="run 'perfchaos heal' until nothing is left",
            )
        if target.toxiproxy is not None:
            with suppress(Unanswered):  # A server that is not there yet holds no toxics either.
                for removed in remove_strays(toxiproxy_of(target)):
                    audit.record("stray removed", run=run_id, what=removed)
        audit.record("run began", run=run_id, target=target.name, folder=str(run_directory))
        net = SafetyNet(
            run_id=run_id,
            leases=LeaseFile.create(
                RunRecord(
                    run_id=run_id,
                    process=Process.current(),
                    run_directory=run_directory,
                    target=target.name,
                )
            ),
            timeline=timeline,
            blast_radius=target.blast_radius,
        )
        return watch_over(net, run_directory=run_directory, conditions=conditions, claimed=claimed)
    except BaseException:
        claimed.release()
        raise
