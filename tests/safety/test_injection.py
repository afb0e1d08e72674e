"""A fault is on disk before it is done, seen when it is done, and healed whatever happens."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from perfchaos import processes
from perfchaos.errors import InvalidInput, PerfchaosError
from perfchaos.faults import (
    DisabledProxy,
    EndedProcess,
    FaultNotSeen,
    NotHealed,
    PausedProcess,
    Proxied,
    Toxic,
    ToxiproxyError,
)
from perfchaos.faults.ended_process import StartProcess
from perfchaos.faults.fault import Fault, Reach, Undo
from perfchaos.faults.paused_process import ResumeProcess
from perfchaos.faults.toxic import RemoveToxic
from perfchaos.faults.witness import Symptom
from perfchaos.safety import FaultVanished, Revoked, SafetyNet, heal, inject
from tests.fake_api import PROXY, Answer, believable, fake_api
from tests.lab import Lab


def silence(lab: Lab) -> Toxic:
    return Toxic(on=lab.proxied, type="timeout", attributes={"timeout": 0})


def names(net: SafetyNet) -> list[str]:
    return [event.name for event in net.timeline.events()]


def try_in_vain[U: Undo](fault: Fault[U], net: SafetyNet, *, at_most_s: float = 30) -> None:
    with inject(fault, net, at_most_s=at_most_s):
        pytest.fail("it was not in force")


def all_faults(lab: Lab) -> dict[str, Fault[Any]]:
    on = lab.proxied
    return {
        "silent downstream": silence(lab),
        "silent upstream": replace(silence(lab), stream="upstream"),
        "a share of connections": replace(silence(lab), toxicity=0.4),
        "slow": Toxic(on=on, type="latency", attributes={"latency": 60, "jitter": 10}),
        "stalled": Toxic(on=on, type="bandwidth", attributes={"rate": 0}),
        "reset": Toxic(on=on, type="reset_peer", attributes={"timeout": 0}),
        "cut short": Toxic(on=on, type="limit_data", attributes={"bytes": 60}),
        "refused": DisabledProxy(on=on),
        "hang": PausedProcess(of=lab.controlled),
        "crash": EndedProcess(of=lab.controlled, abruptly=True),
        "shutdown": EndedProcess(of=lab.controlled, abruptly=False),
    }


FAULTS = (
    "silent downstream",
    "silent upstream",
    "a share of connections",
    "slow",
    "stalled",
    "reset",
    "cut short",
    "refused",
    "hang",
    "crash",
    "shutdown",
)


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_seen_in_force_and_seen_gone(lab: Lab, net: SafetyNet, name: str) -> None:
    with inject(all_faults(lab)[name], net, at_most_s=30) as injected:
        assert injected.in_force is not None
        assert injected.in_force.at_ns >= injected.at_ns
        assert [lease.id for lease in net.leases.read().open] == [injected.lease.id]
        injected.hold(0.05)
    assert lab.harmed() == []
    assert net.leases.read().open == ()
    assert set(names(net)) == {
        "fault injected",
        "fault in force",
        "fault healed",
        "fault back to normal",
    }


def test_what_a_ping_cannot_tell_is_read_back(lab: Lab, net: SafetyNet) -> None:
    sliced = Toxic(on=lab.proxied, type="slicer", attributes={"average_size": 1})
    with inject(sliced, net, at_most_s=30) as injected:
        assert injected.in_force is None
        assert len(lab.harmed()) == 1
    assert lab.harmed() == []
    (seen,) = [event.facts["seen"] for event in net.timeline.events() if "seen" in event.facts]
    assert seen == "read back"


class Forgetful:
    """A Toxiproxy API that says what a real one would say, and harms nothing."""

    def __init__(self) -> None:
        self._told = "GET"

    def __call__(self, method: str, path: str) -> tuple[int, str]:
        if method != "GET":
            self._told = method
            return 200, "{}"
        toxic = {
            "name": "perfchaos-run-1-redis-timeout-downstream",
            "type": "timeout",
            "stream": "downstream",
            "toxicity": 1,
            "attributes": {},
        }
        proxy = {**PROXY, "toxics": [toxic] if self._told == "POST" else []}
        return 200, json.dumps({"redis": proxy} if path == "/proxies" else proxy)


@pytest.mark.parametrize(
    ("api", "error", "complaint"),
    [
        (Forgetful(), FaultNotSeen, "shows nothing of it"),
        (believable, ToxiproxyError, "does not have the toxic asked for"),
    ],
)
def test_an_injector_that_does_nothing_is_an_error(
    lab: Lab,
    net: SafetyNet,
    api: Callable[[str, str], Answer],
    error: type[PerfchaosError],
    complaint: str,
) -> None:
    with fake_api(api) as server:
        lying = replace(lab.proxied, toxiproxy=replace(lab.address, url=server.url))
        with pytest.raises(error, match=complaint):
            try_in_vain(Toxic(on=lying, type="timeout", attributes={}), net)
    assert "fault in force" not in names(net)
    assert net.leases.read().open == ()


def test_whatever_is_raised_inside_the_fault_is_healed(lab: Lab, net: SafetyNet) -> None:
    with pytest.raises(KeyboardInterrupt), inject(silence(lab), net, at_most_s=30):
        raise KeyboardInterrupt
    assert lab.harmed() == []
    assert net.leases.read().open == ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """An undo that does nothing."""

    mechanism: ClassVar[str] = ResumeProcess.mechanism
    pid: int = 1
    started: str = "never"

    @property
    def lands_within_s(self) -> float:
        """At once."""
        return 0.0

    def see_it_in_force(self) -> None:
        """Sees nothing."""

    def replay(self) -> None:
        """Nothing."""

    def last_resort(self) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watchful:
    """A fault that looks, when it is done, at what is on disk."""

    net: SafetyNet
    open_at_harm: list[int]
    kind: str = "nothing"
    dependency: str = "nobody"
    reach: Reach = field(default_factory=Reach)
    symptom: Symptom | None = None

    def prepare(self, run_id: str) -> Undone:
        """Nothing."""
        return Undone()

    def harm(self, undo: Undone) -> None:
        """Looks."""
        self.open_at_harm.append(len(self.net.leases.read().open))


def test_the_lease_is_on_disk_before_the_harm(net: SafetyNet) -> None:
    seen: list[int] = []
    with inject(Watchful(net=net, open_at_harm=seen), net, at_most_s=30):
        pass
    assert seen == [1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A shutdown that takes its time, and is interrupted before it is done."""

    lab: Lab
    of: EndedProcess

    @property
    def kind(self) -> str:
        return "shutdown"

    @property
    def dependency(self) -> str:
        return "redis"

    @property
    def reach(self) -> Reach:
        return Reach()

    @property
    def symptom(self) -> Symptom | None:
        return None

    def prepare(self, run_id: str) -> StartProcess:
        return self.of.prepare(run_id)

    def harm(self, undo: StartProcess) -> None:
        """Interrupted; what it asked for happens after the healing."""
        threading.Timer(0.5, processes.kill, [Path(undo.pid_file)]).start()
        raise KeyboardInterrupt


def test_a_harm_that_comes_after_its_healing_is_healed_too(lab: Lab, net: SafetyNet) -> None:
    late = Late(lab=lab, of=EndedProcess(of=lab.controlled, abruptly=False))
    with pytest.raises(KeyboardInterrupt):
        try_in_vain(late, net)
    assert lab.harmed() == []


def test_without_a_lease_there_is_no_harm(net: SafetyNet) -> None:
    seen: list[int] = []
    net.leases.path.unlink()
    net.leases.path.symlink_to("/dev/full")
    with pytest.raises(PerfchaosError, match="No space left on device"):
        try_in_vain(Watchful(net=net, open_at_harm=seen), net)
    assert seen == []


@pytest.mark.parametrize(("at_most_s", "allowed"), [(60, True), (60.1, False), (0, False)])
def test_no_fault_is_longer_than_the_target_allows(
    lab: Lab, net: SafetyNet, at_most_s: float, allowed: bool
) -> None:
    if allowed:
        with inject(silence(lab), net, at_most_s=at_most_s):
            pass
        return
    with pytest.raises(InvalidInput):
        try_in_vain(silence(lab), net, at_most_s=at_most_s)
    assert names(net) == []


def test_a_proxy_outside_the_blast_radius_is_not_harmed(lab: Lab, net: SafetyNet) -> None:
    elsewhere = Proxied(
        dependency="redis", proxy="other", toxiproxy=lab.address, route=lab.proxied.route
    )
    fault = Toxic(on=elsewhere, type="timeout", attributes={"timeout": 0})
    with pytest.raises(InvalidInput, match=r"proxy 'other' is not in blast_radius\.proxies"):
        try_in_vain(fault, net)


def hold_while[U: Undo](
    meanwhile: Callable[[], object], fault: Fault[U], net: SafetyNet, *, hold_s: float
) -> None:
    with inject(fault, net, at_most_s=60) as injected:
        threading.Timer(0.05, meanwhile).start()
        injected.hold(hold_s)


def test_a_hold_ends_at_once_when_revoked(lab: Lab, net: SafetyNet) -> None:
    begun_s = time.monotonic()
    with pytest.raises(Revoked, match="because we say so"):
        hold_while(lambda: net.revocation.revoke("because we say so"), silence(lab), net, hold_s=50)
    assert time.monotonic() - begun_s < 25
    assert lab.harmed() == []
    assert "fault revoked" in names(net)


def test_nothing_is_injected_after_a_revocation(lab: Lab, net: SafetyNet) -> None:
    net.revocation.revoke("enough")
    with pytest.raises(Revoked, match="enough"):
        try_in_vain(silence(lab), net)
    assert names(net) == []


def test_the_first_reason_of_a_revocation_stays(net: SafetyNet) -> None:
    net.revocation.revoke("first")
    net.revocation.revoke("second")
    assert net.revocation.reason == "first"


def test_a_run_that_heard_of_its_revocation_is_spared_the_signal_that_comes_with_it(
    net: SafetyNet,
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        net.revocation.revoke("enough")
        assert net.revocation.wait(0)
        assert net.revocation.wait(0)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_signal_does_not_end_a_healing_half_way(
    lab: Lab, net: SafetyNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disturbed(*args: Any, **kwargs: Any) -> object:
        os.kill(os.getpid(), signal.SIGUSR1)
        return heal(*args, **kwargs)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("perfchaos.safety.injection.heal", disturbed)
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            with inject(DisabledProxy(on=lab.proxied), net, at_most_s=30):
                assert lab.harmed() != []
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert lab.harmed() == []
    assert net.leases.read().open == ()


def test_a_fault_that_somebody_else_took_away_is_noticed(lab: Lab, net: SafetyNet) -> None:
    def take_away() -> None:
        with lab.server() as server:
            server.remove_toxic("redis", server.proxy("redis").toxics[0].name)

    with pytest.raises(FaultVanished):
        hold_while(take_away, silence(lab), net, hold_s=50)
    assert lab.harmed() == []


def test_what_no_ping_shows_is_noticed_to_be_taken_away_too(lab: Lab, net: SafetyNet) -> None:
    def take_away() -> None:
        with lab.server() as server:
            server.remove_toxic("redis", server.proxy("redis").toxics[0].name)

    sliced = Toxic(on=lab.proxied, type="slicer", attributes={"average_size": 1})
    with pytest.raises(FaultVanished, match="is no longer on proxy 'redis'"):
        hold_while(take_away, sliced, net, hold_s=50)
    assert net.leases.read().open == ()


def test_a_hold_too_short_for_a_look_is_looked_at_in_the_end(lab: Lab, net: SafetyNet) -> None:
    sliced = Toxic(on=lab.proxied, type="slicer", attributes={"average_size": 1})
    with inject(sliced, net, at_most_s=30) as injected:
        injected.lease.undo.replay()
        with pytest.raises(FaultVanished):
            injected.hold(0)


def test_what_cannot_be_healed_keeps_its_lease(lab: Lab, net: SafetyNet) -> None:
    on = replace(lab.proxied, toxiproxy=replace(lab.address, control=None))
    fault = replace(silence(lab), on=on)
    with (
        pytest.raises(NotHealed, match="run 'perfchaos heal'"),
        inject(fault, net, at_most_s=30),
    ):
        processes.kill(lab.toxiproxy_pid_file)
    assert len(net.leases.read().open) == 1


def test_a_target_that_stays_down_after_the_undo_is_not_healed(
    lab: Lab, net: SafetyNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = silence(lab).symptom
    assert shown is not None
    impatient = replace(shown, gone_within_s=0.2)
    monkeypatch.setattr(Toxic, "symptom", property(lambda _: impatient))
    with (
        pytest.raises(NotHealed, match="is not back to normal"),
        inject(silence(lab), net, at_most_s=30),
    ):
        processes.kill(lab.redis_pid_file)
    assert len(net.leases.read().open) == 1


def test_a_healer_that_comes_second_does_nothing(lab: Lab, net: SafetyNet) -> None:
    with inject(silence(lab), net, at_most_s=30) as injected:
        assert heal(net.leases, injected.lease, by="one") is not None
        assert heal(net.leases, injected.lease, by="two") is None


def test_the_run_undoes_its_harm_even_if_another_healed_before(lab: Lab, net: SafetyNet) -> None:
    # As when the watchdog heals between the writing of the lease and the harm.
    with inject(silence(lab), net, at_most_s=30) as injected:
        heal(net.leases, injected.lease, by="watchdog")
        fault, undo = silence(lab), injected.lease.undo
        assert isinstance(undo, RemoveToxic)
        fault.harm(undo)
    assert lab.harmed() == []
