"""The rehearsal of a run: what would be done to what, with nothing done."""

import os
from collections.abc import Callable
from pathlib import Path

from perfchaos.run.scene import Scene
from perfchaos.safety import LeaseFile, SafetyNet
from perfchaos.target import Target
from perfchaos.timeline import Timeline


def rehearsal(target: Target, *, tell: Callable[[str], None]) -> Scene:
    """A scene in which every fault is prepared, held against the blast radius, and told."""
    nowhere = Path(os.devnull)
    timeline = Timeline(nowhere)
    net = SafetyNet(
        run_id="rehearsal",
        leases=LeaseFile(nowhere),
        timeline=timeline,
        blast_radius=target.blast_radius,
        rehearse=tell,
    )
    return Scene(target=target, timeline=timeline, net=net)
