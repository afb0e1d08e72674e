"""What dead runs left is healed from their lease files alone, by whoever comes next."""

from dataclasses import replace
from pathlib import Path

import pytest

from perfchaos import processes
from perfchaos.errors import PerfchaosError
from perfchaos.faults import DisabledProxy, EndedProcess, Toxic
from perfchaos.faults.fault import Fault, Undo
from perfchaos.processes import Process
from perfchaos.safety import Deadline, Lease, LeaseFile, RunRecord, heal_leftovers
from perfchaos.safety.lease import lease_files
from perfchaos.safety.leftovers import forget
from tests.lab import Lab

DEAD = Process(pid=1, started="another time")


def left_by(run_id: str, folder: Path, *, process: Process = DEAD) -> LeaseFile:
    folder.mkdir(exist_ok=True)
    return LeaseFile.create(
        RunRecord(run_id=run_id, process=process, run_directory=folder, target="lab")
    )


def harm[U: Undo](leases: LeaseFile, fault: Fault[U], *, number: int = 1) -> None:
    undo = fault.prepare("dead")
    leases.open(
        Lease(
            id=f"dead/{number}",
            kind=fault.kind,
            dependency=fault.dependency,
            undo=undo,
            symptom=fault.symptom,
            deadline=Deadline.after(60),
        )
    )
    fault.harm(undo)


@pytest.mark.usefixtures("state")
def test_nothing_was_left() -> None:
    assert heal_leftovers(by="test") == ()


@pytest.mark.usefixtures("state")
def test_a_dead_run_is_healed_and_its_file_moves_to_its_folder(lab: Lab, tmp_path: Path) -> None:
    harm(left_by("dead", tmp_path / "run"), DisabledProxy(on=lab.proxied))
    (leftover,) = heal_leftovers(by="test")
    assert [healed.lease.kind for healed in leftover.healed] == ["refused"]
    assert lab.harmed() == []
    assert lease_files() == ()
    assert (tmp_path / "run" / "leases.jsonl").exists()


@pytest.mark.usefixtures("state")
def test_faults_one_behind_the_other_are_healed_at_once(lab: Lab, tmp_path: Path) -> None:
    leases = left_by("dead", tmp_path / "run")
    harm(leases, DisabledProxy(on=lab.proxied))
    harm(leases, EndedProcess(of=lab.controlled, abruptly=True), number=2)
    (leftover,) = heal_leftovers(by="test")
    assert leftover.problems == ()
    assert [healed.lease.kind for healed in leftover.healed] == ["crash", "refused"]
    assert lab.harmed() == []


@pytest.mark.usefixtures("state")
def test_a_run_whose_folder_is_gone_is_healed_too(lab: Lab, tmp_path: Path) -> None:
    harm(left_by("dead", tmp_path / "run"), DisabledProxy(on=lab.proxied))
    (tmp_path / "run").rmdir()
    (leftover,) = heal_leftovers(by="test")
    assert leftover.problems == ()
    assert lab.harmed() == []
    assert lease_files() == ()


@pytest.mark.usefixtures("state")
def test_a_run_that_is_alive_is_left_alone_unless_asked(lab: Lab, tmp_path: Path) -> None:
    leases = left_by("alive", tmp_path / "run", process=Process.current())
    harm(leases, DisabledProxy(on=lab.proxied))
    (leftover,) = heal_leftovers(by="test")
    assert leftover.alive
    assert lab.harmed() == ["disabled"]
    (leftover,) = heal_leftovers(by="test", alive_too=True)
    assert len(leftover.healed) == 1
    assert lab.harmed() == []
    assert len(lease_files()) == 1


@pytest.mark.usefixtures("state")
def test_a_damaged_line_is_told_and_the_others_are_healed(lab: Lab, tmp_path: Path) -> None:
    leases = left_by("dead", tmp_path / "run")
    harm(leases, DisabledProxy(on=lab.proxied))
    with leases.path.open("a") as file:
        file.write("{damaged}\n")
    (leftover,) = heal_leftovers(by="test")
    assert lab.harmed() == []
    assert len(leftover.healed) == 1
    (problem,) = leftover.problems
    assert "line 3 is damaged" in problem
    assert "perfchaos heal --forget dead" in problem
    assert len(lease_files()) == 1
    forget("dead")
    assert heal_leftovers(by="test") == ()


@pytest.mark.usefixtures("state")
def test_what_cannot_be_healed_stays_and_is_told(lab: Lab, tmp_path: Path) -> None:
    on = replace(lab.proxied, toxiproxy=replace(lab.address, control=None))
    fault = Toxic(on=on, type="timeout", attributes={"timeout": 0})
    harm(left_by("dead", tmp_path / "run"), fault)
    processes.kill(lab.toxiproxy_pid_file)
    (leftover,) = heal_leftovers(by="test")
    (problem,) = leftover.problems
    assert "does not answer" in problem or "hangs or is down" in problem
    assert "remove toxic 'perfchaos-dead-redis-timeout-downstream'" in problem
    assert len(lease_files()) == 1


@pytest.mark.usefixtures("state")
def test_a_run_that_is_alive_is_not_forgotten(tmp_path: Path) -> None:
    left_by("alive", tmp_path / "run", process=Process.current())
    with pytest.raises(PerfchaosError, match="is alive"):
        forget("alive")
    with pytest.raises(PerfchaosError, match="no run 'other'"):
        forget("other")
