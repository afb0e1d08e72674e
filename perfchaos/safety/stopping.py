"""Stopping runs from outside: heal first, then end."""

import time
from dataclasses import dataclass

from perfchaos.errors import PerfchaosError
from perfchaos.safety.audit import who
from perfchaos.safety.lease import LeaseFile, lease_files
from perfchaos.safety.watchdog import stop_file

_LOOK_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """A run that was told to stop; `healed` if none of its leases was open at the end."""

    run_id: str
    healed: bool


def stop_runs(*, why: str, within_s: float) -> tuple[Stopped, ...]:
    """
    Tell every run that is alive to stop, and wait until its faults are healed.

    Its watchdog heals at once and then interrupts the run, which ends by itself. Raises
    PerfchaosError if the folder of a run cannot be written.
    """
    alive = []
    for leases in lease_files():
        run = leases.read().run
        if run is None or not run.alive():
            continue
        path = stop_file(run.run_directory)
        try:
            path.write_text(f"{why} ({who()})\n", encoding="utf-8")
        except OSError as error:
            raise PerfchaosError(
                f"{path} cannot be written ({error.strerror})",
                next_step=f"kill -TERM {run.process.pid}, then run 'perfchaos heal'",
            ) from None
        alive.append(leases)
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s and any(_harms(leases) for leases in alive):
        time.sleep(_LOOK_S)
    return tuple(Stopped(run_id=leases.path.stem, healed=not _harms(leases)) for leases in alive)


def _harms(leases: LeaseFile) -> bool:
    return leases.path.exists() and bool(leases.read().open)
