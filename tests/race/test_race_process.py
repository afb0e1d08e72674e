"""The race process: what it writes, what it says, and how it ends."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perfchaos.errors import InvalidInput
from perfchaos.race.plan import RacePlan
from perfchaos.race.rounds import RoundRecording
from perfchaos.recording import Outcome, Recording
from perfchaos.run.racing import RaceUnderWay
from perfchaos.workload.plan import RequestTemplate, Signing
from perfchaos.workload.process import WorkloadError, start_workload
from tests.race.conftest import plan_for, race_for
from tests.workload.conftest import Behaviour, Server, replying

Serve = Callable[[Behaviour], Server]
WON = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def racing(plan: RacePlan, folder: Path) -> Iterator[RoundRecording]:
    """The rounds of a race process that has done at least one."""
    with start_workload(plan, folder) as workload:
        workload.wait_ready()
        recording = RoundRecording(folder / "rounds.jsonl")
        deadline_s = time.monotonic() + 10
        while not recording.rounds():
            assert workload.alive
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        yield recording


def test_every_contender_is_a_sample_too(serve: Serve, tmp_path: Path) -> None:
    plan = plan_for(race_for(serve(replying(WON)).url()), contenders=4, rounds=3)
    with start_workload(plan, tmp_path) as workload:
        workload.wait_ready()
        rounds = RoundRecording(tmp_path / "rounds.jsonl")
        deadline_s = time.monotonic() + 10
        while len(rounds.rounds()) < 3:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        assert workload.alive, "it waits to be told to end"
    recording = Recording.open(workload.recording_path)
    assert recording.numbers(Outcome.ACKED).tolist() == list(range(12))
    assert recording.planned_count == 12
    tally = workload.ended
    assert tally is not None
    assert (tally.planned_count, tally.acked_count, tally.in_flight_count) == (12, 12, 0)
    assert tally.received_bytes == 12 * len(WON)
    released_ns = [one.released_ns for one in rounds.rounds()]
    intended_ns = recording.samples()["intended_ns"] + recording.epoch_ns
    assert sorted(set(intended_ns.tolist())) == released_ns


def test_a_race_without_a_last_round_goes_on_until_it_is_stopped(
    serve: Serve, tmp_path: Path
) -> None:
    plan = plan_for(race_for(serve(replying(WON)).url()), rounds=None)
    with racing(plan, tmp_path) as recording:
        seen = len(recording.rounds())
    assert len(recording.rounds()) >= seen >= 1


def test_sigterm_ends_it_as_the_end_of_its_stdin_does(serve: Serve, tmp_path: Path) -> None:
    plan = plan_for(race_for(serve(replying(WON)).url()), rounds=None)
    (tmp_path / "plan.json").write_text(json.dumps(plan.to_json()))
    command = [sys.executable, "-m", "perfchaos.race", str(tmp_path / "plan.json")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "ready"
        process.send_signal(signal.SIGTERM)
        last = process.stdout.read().splitlines()[-1]
        assert json.loads(last)["event"] == "ended"
        assert process.wait(timeout=10) == 0


def test_rounds_that_come_to_nothing_are_written_too(unused_port: int, tmp_path: Path) -> None:
    plan = plan_for(race_for(f"http://127.0.0.1:{unused_port}/"), rounds=2)
    with racing(plan, tmp_path) as recording:
        assert recording.rounds()[0].problem is not None
    assert Recording.open(tmp_path / "recording").planned_count == 0


def test_a_plan_survives_its_file() -> None:
    plan = plan_for(race_for("http://127.0.0.1:1/"), duplicates=1, rounds=None)
    assert RacePlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"contenders": 1}, "contenders: 1 is not between 2 and"),
        ({"contenders": 1_001}, "contenders: 1001 is not between 2 and 1000"),
        ({"rounds": 0}, "rounds: 0 is not between 1 and"),
        ({"duplicates": 3}, "duplicates: 3 is not below the number of contenders"),
        ({"duplicates": -1}, "duplicates: -1 is not below"),
        ({"hold_s": 11.0}, "hold_s 11 is not between 0 and 10"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_a_plan_that_cannot_be_run_says_why(changes: dict[str, object], mistake: str) -> None:
    data = plan_for(race_for("http://127.0.0.1:1/")).to_json()
    assert isinstance(data, dict)
    with pytest.raises(InvalidInput, match=mistake):
        RacePlan.from_json(data | changes)


def test_a_secret_that_is_not_there_is_told_before_anything_starts(tmp_path: Path) -> None:
    signing = Signing(header="X-Signature", secret_env="NO_SUCH_SECRET")
    compete = RequestTemplate(
        url="http://127.0.0.1:1/{contender}", acknowledged=(200, 409), signing=signing
    )
    plan = plan_for(race_for("http://127.0.0.1:1/", compete=compete))
    with pytest.raises(InvalidInput, match="NO_SUCH_SECRET is not set"):
        start_workload(plan, tmp_path)


def test_a_second_race_does_not_write_over_the_first(serve: Serve, tmp_path: Path) -> None:
    plan = plan_for(race_for(serve(replying(WON)).url()))
    with racing(plan, tmp_path):
        pass
    with start_workload(plan, tmp_path) as workload, pytest.raises(WorkloadError, match="exists"):
        workload.wait_ready()


@pytest.mark.parametrize(
    ("reply", "controls_count"), [(WON, 1), (WON.replace(b"200 OK", b"409 Conflict"), 0)]
)
def test_a_race_that_everybody_won_is_controlled_once(
    serve: Serve, tmp_path: Path, reply: bytes, controls_count: int
) -> None:
    plan = plan_for(race_for(serve(replying(reply)).url()), contenders=4, rounds=3)
    with racing(plan, tmp_path) as recording:
        race = RaceUnderWay(plan=plan, recording=recording)
        assert race.finish(at_most_s=10, wait=time.sleep) == 3
    assert len(recording.rounds()) == 3
    assert len(recording.controls()) == controls_count
