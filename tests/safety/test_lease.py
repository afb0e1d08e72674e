"""A lease file says what is harmed, whatever happened to it and to the clock."""

import errno
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from perfchaos.errors import PerfchaosError
from perfchaos.faults.paused_process import ResumeProcess
from perfchaos.faults.witness import Fate, Route, Symptom
from perfchaos.processes import Process
from perfchaos.safety import Deadline, Lease, LeaseFile, RunRecord, SafetyNet, heal
from perfchaos.safety.lease import boot_id

ROUTE = Route(protocol="postgres", host="::1", port=5, tls=True, user="u", database="d")


def lease(number: int = 1) -> Lease:
    return Lease(
        id=f"run-1/{number}",
        kind="hang",
        dependency="redis",
        undo=ResumeProcess(pid=1, started="never"),
        symptom=Symptom(route=ROUTE, fates=(Fate.SILENT,), ratio=0.5),
        deadline=Deadline.after(60),
    )


def test_a_lease_is_read_as_it_was_written(net: SafetyNet) -> None:
    first, second = lease(1), replace(lease(2), symptom=None)
    net.leases.open(first)
    net.leases.open(second)
    net.leases.done(second)
    assert net.leases.read().open == (first, replace(second, done=True))
    net.leases.close(first, by="test")
    assert net.leases.read().open == (replace(second, done=True),)


def test_the_run_is_known_by_its_process(net: SafetyNet) -> None:
    run = net.leases.read().run
    assert run is not None
    assert run.alive()
    assert not replace(run, process=Process(pid=os.getpid(), started="another time")).alive()


def test_a_torn_line_is_no_lease_and_spoils_no_other(net: SafetyNet) -> None:
    net.leases.open(lease(1))
    whole = net.leases.path.read_bytes()
    net.leases.path.write_bytes(whole + whole.splitlines()[-1][:50])
    assert net.leases.read().open == (lease_like(net),)
    net.leases.open(lease(2))
    contents = net.leases.read()
    assert [found.id for found in contents.open] == ["run-1/1", "run-1/2"]
    assert contents.damaged == (3,)


def lease_like(net: SafetyNet) -> Lease:
    return net.leases.read().open[0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line.replace("redis", "rebus"),
        lambda line: line[:-20] + "}",
        lambda _: "\x00\x01\x02",
        lambda _: '"text"',
        lambda _: '{"crc32": 0, "body": "{}"}',
    ],
)
def test_a_damaged_line_is_told_by_its_number(net: SafetyNet, damage: object) -> None:
    assert callable(damage)
    net.leases.open(lease(1))
    net.leases.open(lease(2))
    lines = net.leases.path.read_text().splitlines()
    lines[1] = damage(lines[1])
    net.leases.path.write_text("\n".join(lines) + "\n")
    contents = net.leases.read()
    assert contents.damaged == (2,)
    assert [found.id for found in contents.open] == ["run-1/2"]


def test_an_undo_of_another_version_counts_as_damaged(net: SafetyNet) -> None:
    net.leases._append("opened", {"lease": "run-1/9", "undo": {"mechanism": "magic"}})
    assert net.leases.read().damaged == (2,)


def test_a_file_that_was_retired_has_no_open_leases(net: SafetyNet, tmp_path: Path) -> None:
    net.leases.open(lease())
    net.leases.retire(tmp_path)
    assert net.leases.read().open == ()
    net.leases.retire(tmp_path)
    with pytest.raises(PerfchaosError, match="cannot be written"):
        net.leases.open(lease(2))


def test_a_full_disk_is_said_to_be_one(net: SafetyNet, monkeypatch: pytest.MonkeyPatch) -> None:
    before = net.leases.path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PerfchaosError, match="No space left on device"):
        net.leases.open(lease())
    assert net.leases.path.read_bytes() == before


def test_a_full_disk_keeps_nobody_from_healing(
    net: SafetyNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    harmless = replace(lease(), symptom=None)
    net.leases.open(harmless)
    net.leases.done(harmless)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PerfchaosError, match="is healed, but that could not be noted"):
        heal(net.leases, harmless, by="test")
    monkeypatch.undo()
    assert net.leases.read().open == (replace(harmless, done=True),)


def test_a_state_directory_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PERFCHAOS_STATE_DIR", str(tmp_path / "file" / "state"))
    record = RunRecord(run_id="r", process=Process.current(), run_directory=tmp_path, target="lab")
    with pytest.raises(PerfchaosError, match="set PERFCHAOS_STATE_DIR"):
        LeaseFile.create(record)


def test_a_deadline_does_not_heed_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    deadline = Deadline.after(60)
    for jump_s in (-1e6, 1e6):
        monkeypatch.setattr("time.time", lambda jump_s=jump_s: jump_s)
        assert 50 < deadline.left_s() <= 60


def test_a_deadline_has_passed_after_a_reboot() -> None:
    deadline = Deadline.after(60)
    assert deadline.boot == boot_id()
    assert replace(deadline, boot="another").left_s() == 0


@pytest.mark.parametrize(("left_ns", "passed"), [(10**9, False), (0, True)])
def test_a_deadline_passes_when_it_is_reached(left_ns: int, passed: bool) -> None:
    deadline = Deadline(
        boot_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME) + left_ns, boot=boot_id()
    )
    assert (deadline.left_s() <= 0) is passed


def test_only_the_owner_reads_what_is_harmed(net: SafetyNet) -> None:
    net.leases.open(lease())
    assert net.leases.path.stat().st_mode & 0o077 == 0


def test_every_line_is_json_by_itself(net: SafetyNet) -> None:
    net.leases.open(lease())
    for line in net.leases.path.read_text().splitlines():
        assert json.loads(json.loads(line)["body"])["record"] in {"run", "opened"}
