"""A harm that was interrupted is undone as long as it can land, and its lease is open till then."""

import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from perfchaos import processes
from perfchaos.faults import EndedProcess, Toxic
from perfchaos.faults.fault import Fault, FaultVanished, Undo
from perfchaos.launches import Launch
from perfchaos.processes import Process
from perfchaos.safety import Deadline, Lease, LeaseFile, heal_leftovers, lease_files
from tests.lab import Lab
from tests.ports import free_ports
from tests.safety.test_injection import FAULTS, all_faults
from tests.safety.test_leftovers import DEAD, left_by

pytestmark = pytest.mark.usefixtures("state")

# It says that it is ready to be told, and takes its time once it is.
SLOW_TO_END = """
import signal, socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[3])))
def end(*_):
    time.sleep(float(sys.argv[1]))
    sys.exit()
signal.signal(signal.SIGTERM, end)
open(sys.argv[2], "w").close()
while True:
    signal.pause()
"""


def interrupted[U: Undo](leases: LeaseFile, fault: Fault[U]) -> U:
    """The lease of a harm that nobody has noted to be done; without a symptom."""
    undo = fault.prepare("dead")
    leases.open(
        Lease(
            id="dead/1",
            kind=fault.kind,
            dependency=fault.dependency,
            undo=undo,
            symptom=None,
            deadline=Deadline.after(60),
        )
    )
    return undo


@pytest.fixture
def lands_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Toxiproxy whose requests land within two seconds."""
    monkeypatch.setattr("perfchaos.faults.toxic.HARM_LANDS_WITHIN_S", 2.0)


@pytest.fixture
def slow_server(lab: Lab, tmp_path: Path) -> Iterator[EndedProcess]:
    """A server that needs longer for its shutdown than a signal is in doubt."""
    pid_file, ready = tmp_path / "slow.pid", tmp_path / "ready"
    [port] = free_ports(1)
    launch = Launch(
        argv=(sys.executable, "-c", SLOW_TO_END, "4.5", str(ready), str(port)),
        cwd=str(tmp_path),
        log=str(tmp_path / "slow.log"),
    )
    processes.start(launch, pid_file)
    while not ready.exists():
        assert processes.running(pid_file) is not None
    try:
        at = replace(lab.controlled.route, port=port)
        of = replace(lab.controlled, pid_file=str(pid_file), route=at)
        yield EndedProcess(of=of, abruptly=False)
    finally:
        processes.kill(pid_file)


def test_a_shutdown_under_way_is_finished_and_then_started(
    slow_server: EndedProcess, tmp_path: Path
) -> None:
    interrupted(left_by("dead", tmp_path / "run"), slow_server)
    before = slow_server.of.process()
    before.signal(signal.SIGTERM)
    (leftover,) = heal_leftovers(by="test")
    assert leftover.problems == ()
    assert not before.alive()
    assert slow_server.of.process() != before
    assert lease_files() == ()


@pytest.mark.usefixtures("lands_soon")
def test_a_toxic_that_comes_after_the_healing_is_removed(lab: Lab, tmp_path: Path) -> None:
    fault = Toxic(on=lab.proxied, type="timeout", attributes={"timeout": 0})
    undo = interrupted(left_by("dead", tmp_path / "run"), fault)
    late = threading.Timer(0.5, fault.harm, [undo])
    late.start()
    (leftover,) = heal_leftovers(by="test")
    late.join()
    assert leftover.problems == ()
    assert lab.harmed() == []
    assert lease_files() == ()


def test_only_the_run_closes_a_lease_in_mid_harm(lab: Lab, tmp_path: Path) -> None:
    leases = left_by("alive", tmp_path / "run", process=Process.current())
    fault = Toxic(on=lab.proxied, type="timeout", attributes={"timeout": 0})
    undo = interrupted(leases, fault)
    (leftover,) = heal_leftovers(by="test", alive_too=True)
    fault.harm(undo)
    leases.done(leases.read().open[0])
    (problem,) = leftover.problems
    assert "its harm may still come" in problem
    (leftover,) = heal_leftovers(by="test", alive_too=True)
    assert leftover.problems == ()
    assert lab.harmed() == []
    assert leases.read().open == ()


def test_a_command_that_does_not_wait_says_that_harm_may_come(lab: Lab, tmp_path: Path) -> None:
    fault = Toxic(on=lab.proxied, type="timeout", attributes={"timeout": 0})
    leases = left_by("dead", tmp_path / "run", process=DEAD)
    interrupted(leases, fault)
    (leftover,) = heal_leftovers(by="test", settled=False)
    (problem,) = leftover.problems
    assert "its harm may still come for" in problem
    assert len(leases.read().open) == 1


@pytest.mark.usefixtures("lands_soon")
def test_a_doubt_lasts_from_when_the_maker_is_known_to_be_gone(lab: Lab, tmp_path: Path) -> None:
    fault = Toxic(on=lab.proxied, type="timeout", attributes={"timeout": 0})
    leases = left_by("dead", tmp_path / "run")
    interrupted(leases, fault)
    (lease,) = leases.read().open
    first = leases.doubt(lease)
    (again,) = leases.read().open
    assert leases.doubt(again) == first
    assert again.doubt == first
    assert 0 < first.left_s() <= 2


@pytest.mark.usefixtures("lands_soon")
def test_of_two_that_wait_for_a_doubt_one_closes_it(lab: Lab, tmp_path: Path) -> None:
    fault = Toxic(on=lab.proxied, type="timeout", attributes={"timeout": 0})
    leases = left_by("dead", tmp_path / "run")
    interrupted(leases, fault)
    with ThreadPoolExecutor(2) as pool:
        both = pool.map(lambda by: heal_leftovers(by=by), ("one", "two"))
    assert [problem for (leftover,) in both for problem in leftover.problems] == []
    assert lease_files() == ()


@pytest.mark.parametrize("name", FAULTS)
def test_every_undo_tells_a_fault_in_force_from_one_that_is_not(lab: Lab, name: str) -> None:
    fault = all_faults(lab)[name]
    undo = fault.prepare("run")
    with pytest.raises(FaultVanished):
        undo.see_it_in_force()
    fault.harm(undo)
    undo.see_it_in_force()
    undo.replay()
    with pytest.raises(FaultVanished):
        undo.see_it_in_force()
