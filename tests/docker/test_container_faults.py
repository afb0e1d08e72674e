"""Each fault of a container is seen on the data plane, and healed to what was there before."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from perfchaos.containers import ContainerEngine, ContainerGone, Limits, engine_address
from perfchaos.errors import InvalidInput, PerfchaosError
from perfchaos.faults import (
    Contained,
    ContainerCutOff,
    ContainerImpaired,
    ContainerKilled,
    ContainerPaused,
    ContainerSqueezed,
    ContainerStopped,
    Fate,
    Fault,
)
from perfchaos.faults.container_start import StartContainer
from perfchaos.faults.mechanisms import from_document, to_document
from perfchaos.safety import FaultVanished, SafetyNet, inject
from tests.docker.conftest import RedisInContainer, Run, allowing

FAULTS: dict[str, Callable[[Contained], Fault[Any]]] = {
    "killed": lambda of: ContainerKilled(of=of),
    "killed by SIGTERM": lambda of: ContainerKilled(of=of, signal="SIGTERM"),
    "stopped": lambda of: ContainerStopped(of=of, grace_s=3),
    "paused": lambda of: ContainerPaused(of=of),
    "cut off": lambda of: ContainerCutOff(of=of),
}
FATES = {
    "killed": {Fate.REFUSED, Fate.CLOSED},
    "killed by SIGTERM": {Fate.REFUSED, Fate.CLOSED},
    "stopped": {Fate.REFUSED, Fate.CLOSED},
    "paused": {Fate.SILENT},
    "cut off": {Fate.REFUSED, Fate.CLOSED, Fate.SILENT},
}


# What lasts without the container being down.
HELD: dict[str, Callable[[Contained], Fault[Any]]] = {
    "paused": FAULTS["paused"],
    "cut off": FAULTS["cut off"],
    "squeezed": lambda of: ContainerSqueezed(of=of, cpus=0.5, memory_bytes=64 * 2**20),
}


def try_in_vain(fault: Fault[Any], net: SafetyNet) -> None:
    with inject(fault, net, at_most_s=30):
        pytest.fail("it was in force")


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen_and_healed(name: str, redis: RedisInContainer, net: SafetyNet) -> None:
    with inject(FAULTS[name](redis.of), allowing(net, redis), at_most_s=90) as injected:
        assert injected.in_force is not None
        assert injected.in_force.fate in FATES[name]
    assert redis.status == "running"
    assert redis.ask("PING") == b"+PONG\r\n"
    assert net.leases.read().open == ()
    # The reading back may come a moment later than what the data plane shows.
    happened = {event.name for event in net.timeline.events()}
    assert happened >= {"fault in force", "fault healed", "fault back to normal"}


@pytest.mark.parametrize("name", [*FAULTS, "squeezed"])
def test_an_undo_outlives_its_process_and_repeats(name: str, redis: RedisInContainer) -> None:
    faults = FAULTS | {"squeezed": lambda of: ContainerSqueezed(of=of, cpus=0.5)}
    fault = faults[name](redis.of)
    undo = fault.prepare("run-1")
    fault.harm(undo)
    read = from_document(json.loads(json.dumps(to_document(undo))))
    assert read == undo
    read.replay()
    read.replay()
    redis.await_answer()


def test_a_cut_container_gets_its_names_back(redis: RedisInContainer, net: SafetyNet) -> None:
    with inject(ContainerCutOff(of=redis.of), allowing(net, redis), at_most_s=30):
        assert redis.raw.attrs["NetworkSettings"]["Networks"] == {}
    (network,) = redis.raw.attrs["NetworkSettings"]["Networks"].values()
    assert "cache" in network["Aliases"]


def test_a_container_comes_back_with_its_data_or_emptied(
    redis: RedisInContainer, net: SafetyNet
) -> None:
    net = allowing(net, redis)
    redis.ask("SET kept yes")
    redis.ask("WAITAOF 1 0 2000")
    with inject(ContainerKilled(of=redis.of), net, at_most_s=90):
        pass
    assert redis.ask("GET kept") == b"$3\r\nyes\r\n"
    with inject(ContainerKilled(of=redis.of, emptied=True), net, at_most_s=90):
        pass
    assert redis.ask("GET kept") == b"$-1\r\n"


@pytest.mark.parametrize(
    ("options", "squeeze"),
    [
        ({}, {"cpus": 0.1}),
        ({}, {"memory_bytes": 64 * 2**20}),
        ({"nano_cpus": 10**9}, {"cpus": 0.25}),
        ({"mem_limit": 256 * 2**20}, {"memory_bytes": 64 * 2**20, "cpus": 0.333}),
        ({"mem_limit": 256 * 2**20, "memswap_limit": -1}, {"memory_bytes": 64 * 2**20}),
    ],
)
def test_limits_are_squeezed_and_restored(
    options: dict[str, Any], squeeze: dict[str, Any], run_redis: Run, net: SafetyNet
) -> None:
    redis = run_redis(**options)

    def limits() -> Limits:
        with ContainerEngine(engine_address()) as engine:
            return engine.state(redis.id).limits

    before = limits()
    fault = ContainerSqueezed(of=redis.of, **squeeze)
    with inject(fault, allowing(net, redis), at_most_s=30) as injected:
        assert {key: getattr(limits(), key) for key in squeeze} == squeeze
        assert injected.in_force is None  # Only read back: a ping cannot tell.
    assert limits() == before


@pytest.mark.parametrize(
    ("squeeze", "mistake"),
    [
        ({}, "neither"),
        ({"memory_bytes": 6 * 2**20 - 1}, "less than"),
        ({"cpus": 0.001}, "less than"),
        ({"cpus": float("nan")}, "less than"),
    ],
)
def test_limits_that_make_no_sense_are_refused(
    squeeze: dict[str, Any], mistake: str, redis: RedisInContainer, net: SafetyNet
) -> None:
    with pytest.raises(InvalidInput, match=mistake):
        try_in_vain(ContainerSqueezed(of=redis.of, **squeeze), allowing(net, redis))


def test_packets_are_late_or_the_kernel_is_said_to_lack_it(
    redis: RedisInContainer, net: SafetyNet
) -> None:
    try:
        fault = ContainerImpaired(of=redis.of, delay_ms=40)
        with inject(fault, allowing(net, redis), at_most_s=30) as injected:
            assert injected.in_force is not None
    except PerfchaosError as error:
        lacking = ("no netem", "no 'tc'", "'docker exec --privileged' fails")
        assert any(what in str(error) for what in lacking)  # noqa: PT017 - each is right somewhere
    assert redis.ask("PING") == b"+PONG\r\n"
    assert net.leases.read().open == ()


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_harmed_already_is_refused(
    name: str, redis: RedisInContainer, net: SafetyNet
) -> None:
    redis.raw.pause()
    with pytest.raises(PerfchaosError, match="is paused already"):
        try_in_vain(FAULTS[name](redis.of), allowing(net, redis))
    assert redis.status == "paused"


@pytest.mark.parametrize("signal", ["SIGSTOP", "SIGCONT", "SIGNONE", "9", "sigkill", ""])
def test_a_signal_that_ends_nothing_is_refused(
    signal: str, redis: RedisInContainer, net: SafetyNet
) -> None:
    with pytest.raises(InvalidInput, match="signal"):
        try_in_vain(ContainerKilled(of=redis.of, signal=signal), allowing(net, redis))
    assert redis.status == "running"


def test_a_container_that_would_vanish_when_down_is_refused(run_redis: Run, net: SafetyNet) -> None:
    redis = run_redis(remove=True)
    with pytest.raises(PerfchaosError, match="create it without --rm"):
        try_in_vain(ContainerKilled(of=redis.of), allowing(net, redis))
    assert redis.status == "running"


class TestOutsideTheBlastRadius:
    def test_an_unnamed_container_is_refused(self, redis: RedisInContainer, net: SafetyNet) -> None:
        with pytest.raises(InvalidInput, match=r"not in blast_radius\.containers"):
            try_in_vain(ContainerPaused(of=redis.of), net)
        assert redis.status == "running"

    def test_a_container_without_the_label_is_refused(
        self, redis: RedisInContainer, net: SafetyNet
    ) -> None:
        unlabelled = Contained(
            dependency="redis",
            container=redis.of.container,
            labels=("some=other",),
            route=redis.of.route,
        )
        with pytest.raises(InvalidInput, match="has no label"):
            try_in_vain(ContainerPaused(of=unlabelled), allowing(net, redis))
        assert redis.status == "running"


class TestUndoneBySomebodyElse:
    def test_it_is_noticed_while_it_is_held(self, redis: RedisInContainer, net: SafetyNet) -> None:
        with inject(ContainerKilled(of=redis.of), allowing(net, redis), at_most_s=90) as injected:
            redis.raw.start()
            with pytest.raises(FaultVanished):
                injected.hold(20)

    def test_a_restart_policy_is_named(self, run_redis: Run) -> None:
        redis = run_redis(restart_policy={"Name": "always"})
        undo = ContainerKilled(of=redis.of).prepare("run-1")
        assert isinstance(undo, StartContainer)
        # From inside: the engine's own kill would hold the policy back.
        redis.ask("SHUTDOWN NOSAVE")
        with ContainerEngine(engine_address()) as engine:
            redis.of.container.await_state(engine, lambda s: s.restart_count > 0, 20)
        with pytest.raises(FaultVanished, match="restart policy is 'always'"):
            undo.see_it_in_force()

    def test_a_restart_policy_that_answers_the_harm_itself_fails_it(
        self, run_redis: Run, net: SafetyNet
    ) -> None:
        redis = run_redis(restart_policy={"Name": "always"}, stop_signal="SIGTERM")
        # A signal that the engine does not take for the wish to have the container down.
        fault = ContainerKilled(of=redis.of, signal="SIGINT")
        with pytest.raises(FaultVanished, match=r"policy is 'always'.*docker update --restart=no"):
            try_in_vain(fault, allowing(net, redis))
        redis.await_answer()
        assert net.leases.read().open == ()

    @pytest.mark.parametrize("name", HELD)
    def test_what_is_held_is_looked_at_again(self, name: str, redis: RedisInContainer) -> None:
        fault = HELD[name](redis.of)
        undo = fault.prepare("run-1")
        fault.harm(undo)
        undo.see_it_in_force()
        undo.replay()
        with pytest.raises(FaultVanished, match="not in force all the time"):
            undo.see_it_in_force()


class TestVanished:
    def test_before_the_harm_nothing_is_harmed(self, run_redis: Run, net: SafetyNet) -> None:
        redis = run_redis()
        fault = ContainerPaused(of=redis.of)
        redis.raw.remove(force=True, v=True)
        with pytest.raises(ContainerGone, match="is not there"):
            try_in_vain(fault, allowing(net, redis))

    def test_while_it_was_harmed_is_said(self, run_redis: Run) -> None:
        redis = run_redis()
        fault = ContainerPaused(of=redis.of)
        undo = fault.prepare("run-1")
        fault.harm(undo)
        redis.raw.remove(force=True, v=True)
        with pytest.raises(ContainerGone, match="was removed while it was harmed"):
            undo.replay()

    @pytest.mark.parametrize("name", HELD)
    def test_while_it_is_held_is_said(self, name: str, run_redis: Run) -> None:
        redis = run_redis()
        fault = HELD[name](redis.of)
        undo = fault.prepare("run-1")
        fault.harm(undo)
        redis.raw.remove(force=True, v=True)
        with pytest.raises(ContainerGone, match="is not there"):
            undo.see_it_in_force()

    @pytest.mark.parametrize("name", FAULTS)
    def test_one_that_runs_in_its_place_is_left_alone(
        self, name: str, run_redis: Run, client: Any, image: str
    ) -> None:
        redis = run_redis()
        fault = FAULTS[name](redis.of)
        undo = fault.prepare("run-1")
        fault.harm(undo)
        redis.raw.remove(force=True, v=True)
        key, _, value = redis.label.partition("=")
        successor = client.containers.run(
            image, ["sleep", "60"], detach=True, name=redis.name, labels={key: value}
        )
        successor.reload()
        before = successor.attrs["State"]
        undo.replay()
        successor.reload()
        assert successor.attrs["State"] == before
