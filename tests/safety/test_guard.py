"""The guard says stop on a breach and when it cannot look, and never on a healthy system."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from perfchaos.errors import InvalidInput
from perfchaos.recording import Outcome, Recorder
from perfchaos.safety import StopCondition, read_conditions
from perfchaos.safety.guard import Guard
from tests.lab import Lab
from tests.safety.driven import driven
from tests.safety.driver import Orders

ERRORS = StopCondition(stop_when="error_ratio", above=0.5, window_s=5)
SLOW = StopCondition(stop_when="latency_p99_ms", above=500, window_s=5)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    """A recording whose epoch lies a minute back."""
    epoch_ns = time.monotonic_ns() - 60_000_000_000
    with Recorder(tmp_path / "part-0.samples", epoch_ns=epoch_ns) as recorder:
        yield recorder


def write(
    recorder: Recorder,
    count: int,
    *,
    outcome: Outcome = Outcome.ACKED,
    ago_s: float = 1.0,
    took_ms: float = 5,
) -> None:
    """Requests whose fate became known so long ago."""
    done_ns = 60_000_000_000 - round(ago_s * 1e9)
    for n in range(count):
        recorder.write(done_ns - round(took_ms * 1e6), n, 0, round(took_ms * 1000), 200, outcome, 0)
    recorder.planned(count)


def armed(recorder: Recorder, *conditions: StopCondition) -> Guard:
    guard = Guard(conditions)
    guard.arm(recorder.path.parent)
    return guard


@pytest.mark.parametrize(
    ("failed_count", "said"), [(50, None), (51, "error_ratio above 0.5 for 5 s .it was 0.51")]
)
def test_a_value_at_the_limit_is_no_breach(
    recorder: Recorder, failed_count: int, said: str | None
) -> None:
    write(recorder, 100 - failed_count)
    write(recorder, failed_count, outcome=Outcome.INDETERMINATE)
    reason = armed(recorder, ERRORS).breach()
    assert (reason is None) is (said is None)


@pytest.mark.parametrize(("took_ms", "breached"), [(499, False), (501, True)])
def test_latency_is_guarded(recorder: Recorder, took_ms: float, breached: bool) -> None:
    write(recorder, 100, took_ms=took_ms)
    assert (armed(recorder, SLOW).breach() is not None) is breached


@pytest.mark.parametrize(("count", "breached"), [(19, False), (20, True)])
def test_a_handful_of_requests_proves_nothing(
    recorder: Recorder, count: int, breached: bool
) -> None:
    write(recorder, count, outcome=Outcome.REFUSED)
    assert (armed(recorder, ERRORS).breach() is not None) is breached


@pytest.mark.parametrize(("ago_s", "breached"), [(6.0, False), (4.0, True)])
def test_only_the_last_window_counts(recorder: Recorder, ago_s: float, breached: bool) -> None:
    write(recorder, 100, outcome=Outcome.REFUSED, ago_s=ago_s)
    assert (armed(recorder, ERRORS).breach() is not None) is breached


def test_a_request_counts_when_its_fate_is_known_however_long_it_waited(
    recorder: Recorder,
) -> None:
    # A time-out of ten seconds was due long before the window of five seconds.
    write(recorder, 100, outcome=Outcome.INDETERMINATE, took_ms=10_000)
    assert armed(recorder, ERRORS).breach() is not None


def test_all_parts_of_a_recording_count(recorder: Recorder) -> None:
    write(recorder, 10, outcome=Outcome.REFUSED)
    second = recorder.path.with_name("part-1.samples")
    with Recorder(second, epoch_ns=time.monotonic_ns() - 60_000_000_000, part=1) as other:
        write(other, 10, outcome=Outcome.REFUSED)
        assert armed(recorder, ERRORS).breach() is not None


def test_a_recording_that_is_not_there_is_blindness(tmp_path: Path) -> None:
    guard = Guard([ERRORS])
    guard.arm(tmp_path / "nowhere")
    assert "cannot look" in str(guard.breach())


def test_a_load_that_stands_still_is_blindness(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(recorder, 100)
    guard = armed(recorder, ERRORS)
    assert guard.breach() is None
    clock_s = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: clock_s + 2.9)
    assert guard.breach() is None
    monkeypatch.setattr("time.monotonic", lambda: clock_s + 3.5)
    assert "no request was planned" in str(guard.breach())
    guard.disarm()
    assert guard.breach() is None


def test_a_guard_without_conditions_says_nothing(tmp_path: Path) -> None:
    guard = Guard([])
    guard.arm(tmp_path)
    assert guard.breach() is None


def calm() -> float:
    return 1.0


def alarming() -> int:
    return 11


def broken() -> float:
    raise OSError("no route")


def numberless() -> str:
    return "many"


def eventually(what: Callable[[], str | None]) -> str | None:
    deadline_s = time.monotonic() + 10
    while (found := what()) is None and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return found


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("alarming", "above 10 for 0.3 s"),
        ("broken", "cannot look: tests.safety.test_guard.broken raised OSError"),
        ("numberless", "raised ValueError"),
    ],
)
def test_a_probe_stops_the_run(tmp_path: Path, function: str, said: str) -> None:
    guard = Guard([probe(function)])
    guard.arm(tmp_path)
    assert said in str(eventually(guard.breach))


def test_a_calm_probe_does_not(tmp_path: Path) -> None:
    guard = Guard([probe("calm")])
    guard.arm(tmp_path)
    deadline_s = time.monotonic() + 0.8
    while time.monotonic() < deadline_s:
        assert guard.breach() is None


def probe(function: str) -> StopCondition:
    return StopCondition(
        stop_when="probe", above=10, window_s=0.3, function=f"tests.safety.test_guard.{function}"
    )


@pytest.mark.parametrize(
    ("document", "mistake"),
    [
        ({"stop_when": "error_rate", "above": 1}, "stop_when is 'error_rate'"),
        ({"stop_when": "error_ratio"}, "give either above or below"),
        ({"stop_when": "error_ratio", "above": 1, "below": 0}, "give either above or below"),
        ({"stop_when": "error_ratio", "above": "0.5"}, "above is '0.5', not a number"),
        ({"stop_when": "error_ratio", "above": 0.5, "window": 5}, "there is no key 'window'"),
        ({"stop_when": "error_ratio", "above": 0.5, "window_s": 0}, "window_s is 0"),
        ({"stop_when": "probe", "above": 0.5}, "function belongs to"),
        ({"stop_when": "error_ratio", "above": 0.5, "function": "a.b"}, "function belongs to"),
        ({"stop_when": "probe", "above": 0.5, "function": "no.such.thing"}, "No module named"),
    ],
)
def test_a_senseless_condition_is_refused(document: dict[str, Any], mistake: str) -> None:
    with pytest.raises(InvalidInput, match=mistake):
        read_conditions([document])


def test_all_mistakes_are_listed_with_their_lines() -> None:
    with pytest.raises(InvalidInput) as failure:
        read_conditions([{"stop_when": "x", "above": 1}, {"stop_when": "error_ratio"}])
    assert [mistake.split(":")[0] for mistake in failure.value.mistakes] == ["line 1", "line 2"]


def test_a_condition_is_the_same_after_the_pipe() -> None:
    conditions = (ERRORS, SLOW, StopCondition(stop_when="error_ratio", below=0.1))
    documents = [condition.to_document() for condition in conditions]
    assert read_conditions(documents) == conditions


@pytest.mark.parametrize("blocking", [False, True])
def test_a_breach_ends_a_run_even_in_a_blocking_action(
    lab: Lab, tmp_path: Path, state: Path, recorder: Recorder, blocking: bool
) -> None:
    del state
    ordered = Orders(
        lab=lab,
        run_directory=tmp_path / "run-1",
        faults=("timeout",),
        blocking=blocking,
        guard=(ERRORS.to_document(),),
        recording=str(tmp_path),
    )
    with driven(ordered) as run:
        run.in_force()
        write(recorder, 100, outcome=Outcome.INDETERMINATE, ago_s=-(time_since(recorder)))
        assert "the guard: error_ratio above 0.5" in run.next_line()
        assert lab.harmed() == []


def time_since(recorder: Recorder) -> float:
    """Seconds since the epoch of the recording was a minute back."""
    return (time.monotonic_ns() - recorder_epoch_ns(recorder)) / 1e9 - 60


def recorder_epoch_ns(recorder: Recorder) -> int:
    from perfchaos.recording import Recording  # noqa: PLC0415 - numpy, for this test only

    return Recording.open(recorder.path).epoch_ns
