"""One run: its directory, its life, and the run under way in this process."""

from perfchaos.run.directory import RunDirectory, make_run_directory
from perfchaos.run.proxy import behind_proxy
from perfchaos.run.run import (
    NoRun,
    Run,
    asked_by,
    current,
    name_asker,
    run_under_way,
    scene,
    set_current,
)
from perfchaos.run.scene import Scene

__all__ = [
    "NoRun",
    "Run",
    "RunDirectory",
    "Scene",
    "asked_by",
    "behind_proxy",
    "current",
    "make_run_directory",
    "name_asker",
    "run_under_way",
    "scene",
    "set_current",
]
