"""
Where perfchaos keeps what outlives a process.

State (leases, locks, the audit log, the embedded stack) belongs to the user and not to a checkout:
after a crash the next command must find open leases from whatever folder it is typed in.
"""

import os
from pathlib import Path


def state_dir() -> Path:
    """The user's state directory: `PERFCHAOS_STATE_DIR`, else the XDG state home."""
    return _place("PERFCHAOS_STATE_DIR", "XDG_STATE_HOME", ".local/state")


def cache_dir() -> Path:
    """The user's cache of built binaries: `PERFCHAOS_CACHE_DIR`, else the XDG cache home."""
    return _place("PERFCHAOS_CACHE_DIR", "XDG_CACHE_HOME", ".cache")


def runs_dir() -> Path:
    """Where runs leave their artifacts: `PERFCHAOS_RUNS_DIR`, else `runs` in this folder."""
    return Path(os.environ.get("PERFCHAOS_RUNS_DIR", "runs")).absolute()


def leases_dir() -> Path:
    """Where the lease files of all runs lie that have not ended in good order, or are alive."""
    return state_dir() / "leases"


def _place(own: str, xdg: str, fallback: str) -> Path:
    if chosen := os.environ.get(own):
        return Path(chosen).absolute()
    base = os.environ.get(xdg)
    return (Path(base) if base else Path.home() / fallback) / "perfchaos"
