from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfchaos.errors import InvalidInput
from perfchaos.recording import Outcome, Recorder, Recording, Window
from perfchaos.workload.thresholds import threshold


@pytest.fixture
def window(tmp_path: Path) -> Window:
    """100 requests in one second: 1 dropped, the rest acked in 1 to 99 ms."""
    with Recorder(tmp_path / "0.samples", epoch_ns=0) as recorder:
        for n in range(1, 100):
            recorder.write(n * 10_000_000, n, 0, n * 1000, 200, Outcome.ACKED, 0)
        recorder.write(0, 0, 0, 0, 20, Outcome.DROPPED, 0)
    return Recording.open(tmp_path / "0.samples").between(0, 10**9)


@pytest.mark.parametrize(
    ("text", "passed", "value"),
    [
        ("p50<51ms", True, 50.0),
        ("p50<50ms", False, 50.0),
        ("p50<=50ms", True, 50.0),
        ("p50 <= 0.05s", True, 50.0),
        ("p99.9<1s", True, 99.0),
        ("max<=99000us", True, 99.0),
        ("max>99ms", False, 99.0),
        ("service_p99<1m", True, 99.0),
        ("errors<1%", False, 0.01),
        ("errors<=1%", True, 0.01),
        ("errors<0.02", True, 0.01),
        ("dropped<=0", False, 1.0),
        ("dropped<2", True, 1.0),
        ("rate>=99", True, 99.0),
        ("rate>=99.5/s", False, 99.0),
    ],
)
def test_thresholds_hold_at_their_boundaries(
    window: Window, text: str, passed: bool, value: float
) -> None:
    judged = threshold(text).judge(window)
    assert judged.passed is passed
    assert judged.value == pytest.approx(value)


@pytest.mark.parametrize("text", ["p99<500ms", "p99>0ms", "errors<1%", "errors>=0"])
def test_what_could_not_be_measured_does_not_pass(tmp_path: Path, text: str) -> None:
    Recorder(tmp_path / "0.samples", epoch_ns=0).close()
    judged = threshold(text).judge(Recording.open(tmp_path / "0.samples").between(0, 10**9))
    assert judged.value is None
    assert not judged.passed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "p99",
        "p99<",
        "<500ms",
        "p99<500",
        "p99<500%",
        "p101<5ms",
        "p<5ms",
        "q99<5ms",
        "errors<5ms",
        "errors1<5",
        "p99=5ms",
        "p99<-5ms",
        "p99<5ms extra",
        "rate>5%",
        "max1<5ms",
    ],
)
def test_thresholds_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="threshold"):
        threshold(text)


@given(text=st.text(max_size=20))
def test_no_text_gives_a_traceback(text: str) -> None:
    try:
        threshold(text)
    except InvalidInput:
        return
