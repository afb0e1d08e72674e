"""What earlier runs left harmed, healed from their lease files alone."""

from contextlib import suppress
from dataclasses import dataclass
from math import isfinite

from perfchaos.errors import PerfchaosError
from perfchaos.safety.healing import Healed, heal, settle
from perfchaos.safety.lease import Contents, LeaseFile, lease_files
from perfchaos.timeline import Timeline
from perfchaos.verdict import complete_as_aborted


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """
    What became of one run's leases.

    `problems` say in full what is still harmed, or may be, and what to do about it. `alive` is True
    for a run that still goes on: its faults are its own affair and nothing was done. `target` is
    None where the lease file does not say.
    """

    run_id: str
    target: str | None
    alive: bool
    healed: tuple[Healed, ...]
    problems: tuple[str, ...]


def heal_leftovers(
    *, by: str, alive_too: bool = False, settled: bool = True
) -> tuple[Leftover, ...]:
    """
    Heal whatever runs that are dead have left, and those that are alive if asked to.

    Where a harm was interrupted, it returns when it can land no longer, or, not `settled`, at once
    with a problem that says so.

    A run whose faults are all healed is given its last word, `aborted`, and its lease file moves
    into its folder. Raises nothing: what could not be healed is in the answer.
    """
    return tuple(
        _heal_one(leases, by=by, alive_too=alive_too, settled=settled) for leases in lease_files()
    )


def forget(run_id: str) -> None:
    """
    Give up the leases of a run, after a person has seen to it that nothing is harmed.

    Raises:
        PerfchaosError: there is no such run with open leases, or it is still alive.

    """
    for leases in lease_files():
        if leases.path.stem != run_id:
            continue
        run = leases.read().run
        if run is not None and run.alive():
            raise PerfchaosError(f"run {run_id} is alive", next_step="run 'perfchaos stop' first")
        leases.retire(run.run_directory if run else None)
        return
    raise PerfchaosError(
        f"there is no run {run_id!r} with open leases", next_step="run 'perfchaos heal' to see them"
    )


def _heal_one(leases: LeaseFile, *, by: str, alive_too: bool, settled: bool) -> Leftover:
    run_id = leases.path.stem
    try:
        contents = leases.read()
    except PerfchaosError as error:
        return Leftover(run_id=run_id, target=None, alive=False, healed=(), problems=(str(error),))
    target = contents.run.target if contents.run is not None else None
    if contents.run is not None and contents.run.alive() and not alive_too:
        return Leftover(run_id=run_id, target=target, alive=True, healed=(), problems=())
    healed, problems = [], _damages(leases, contents)
    # The last first, as the run itself would have: a proxy shows nothing before what is behind it.
    for lease in reversed(contents.open):
        try:
            done = heal(leases, lease, by=by, timeline=_timeline(contents))
            if done is not None and settled and isfinite(done.in_doubt_s):
                done = settle(leases, done, by=by, timeline=_timeline(contents)) or done
        except PerfchaosError as error:
            problems.append(str(error))
            continue
        if done is not None:
            healed.append(done)
            problems += _doubts(leases, done)
    if not problems and not (contents.run is not None and contents.run.alive()):
        _conclude(leases, contents, healed)
    return Leftover(
        run_id=run_id,
        target=target,
        alive=False,
        healed=tuple(healed),
        problems=tuple(problems),
    )


def _doubts(leases: LeaseFile, healed: Healed) -> list[str]:
    """What to say of a lease that is healed, and whose harm may come yet."""
    lease = healed.lease
    if healed.in_doubt_s <= 0 or lease.id not in {left.id for left in leases.read().open}:
        return []
    what = f"{lease.dependency} {lease.kind!r} is undone, yet its harm may still come"
    if isfinite(healed.in_doubt_s):
        return [f"{what} for {healed.in_doubt_s:.0f} s: run 'perfchaos heal', which waits for it"]
    return [f"{what}: its run is alive and in the midst of it, 'perfchaos stop' ends it"]


def _damages(leases: LeaseFile, contents: Contents) -> list[str]:
    run_id = leases.path.stem
    return [
        f"{leases.path} line {number} is damaged, and a fault it recorded may be left: look for "
        f"toxics named perfchaos-{run_id}-…, disabled proxies and stopped services, then run "
        f"'perfchaos heal --forget {run_id}'"
        for number in contents.damaged
    ]


def _timeline(contents: Contents) -> Timeline | None:
    if contents.run is None or not contents.run.run_directory.is_dir():
        return None
    return Timeline(contents.run.run_directory / "timeline.jsonl")


def _conclude(leases: LeaseFile, contents: Contents, healed: list[Healed]) -> None:
    directory = contents.run.run_directory if contents.run else None
    if directory is not None:
        # The run's folder may be gone, or hold no verdict yet.
        with suppress(OSError, ValueError, KeyError):
            complete_as_aborted(
                directory,
                reason="the run and its watchdog died",
                healed=[one.as_document() for one in healed],
            )
    leases.retire(directory)
