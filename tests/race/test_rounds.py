"""The recording of rounds: whole or not at all, while it grows and after a crash."""

from pathlib import Path

import pytest

from perfchaos.errors import PerfchaosError
from perfchaos.race.rounds import Round, RoundRecording, RoundWriter
from tests.race.histories import LOST, NOTHING, WON, round_of

ROUNDS = (
    round_of(("1", WON), ("2", LOST), number=0),
    round_of(number=1, problem="set-up step 0: HTTP 503"),
    round_of(("1", NOTHING), ("2", NOTHING), number=2, overlapped=False),
)


def test_what_is_written_is_read_while_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    with RoundWriter(path) as writer:
        recording = RoundRecording(path)
        assert recording.rounds() == ()
        for count, one in enumerate(ROUNDS, start=1):
            writer.write(one)
            assert recording.rounds() == ROUNDS[:count]


def test_a_torn_last_line_is_left_out_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    with RoundWriter(path) as writer:
        for one in ROUNDS:
            writer.write(one)
    whole = path.read_bytes()
    recording = RoundRecording(path)
    path.write_bytes(whole[:-20])
    assert recording.rounds() == ROUNDS[:2]
    path.write_bytes(whole)
    assert recording.rounds() == ROUNDS


def test_rounds_of_another_run_are_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    with RoundWriter(path):
        pass
    with pytest.raises(PerfchaosError, match="exists"):
        RoundWriter(path)


@pytest.mark.parametrize(
    ("one", "effective"),
    [
        (round_of(("1", WON), ("2", LOST)), True),
        (round_of(("1", WON), ("2", LOST), overlapped=False), False),
        (round_of(problem="no set-up"), False),
    ],
)
def test_only_rounds_that_overlapped_are_effective(one: Round, effective: bool) -> None:
    assert one.effective is effective


def test_the_skew_reaches_from_the_first_to_the_last() -> None:
    assert round_of(("1", WON), ("2", LOST), ("3", LOST)).skew_us == 20.0
    assert round_of(problem="no set-up").skew_us is None
