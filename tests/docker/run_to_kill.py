"""
A run without an experiment: harms one container under a watchdog until it is killed.

    python -m tests.docker.run_to_kill <fault> <run directory> <id> <name> <label> <port>

It prints `in force` when it is.
"""

import sys
from pathlib import Path

from perfchaos.processes import Process
from perfchaos.safety import LeaseFile, RunRecord, SafetyNet, inject
from perfchaos.safety.watched import watch_over
from perfchaos.timeline import Timeline
from tests.docker.conftest import RedisInContainer, blast_radius
from tests.docker.test_container_faults import FAULTS


def main() -> None:
    """Harm it, and wait to be killed."""
    fault, folder, container_id, name, label, port = sys.argv[1:]
    redis = RedisInContainer(client=None, id=container_id, name=name, label=label, port=int(port))
    directory = Path(folder)
    (directory / "verdict.json").write_text('{"ended_at": null, "status": "failed"}')
    record = RunRecord(
        run_id=directory.name,
        process=Process.current(),
        run_directory=directory,
        target="containers",
    )
    net = SafetyNet(
        run_id=directory.name,
        leases=LeaseFile.create(record),
        timeline=Timeline(directory / "timeline.jsonl"),
        blast_radius=blast_radius(redis),
    )
    watch_over(net, run_directory=directory).wait_ready()
    with inject(FAULTS[fault](redis.of), net, at_most_s=90) as injected:
        print("in force", flush=True)
        injected.hold(60)


if __name__ == "__main__":
    main()
