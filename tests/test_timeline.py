"""The timeline: what it keeps, and how phases are cut from it."""

import time
from pathlib import Path

from perfchaos.timeline import Event, Phase, Span, Timeline, spans


def phase(name: str, at_ns: int) -> Event:
    return Event(at_ns=at_ns, name="phase", facts={"phase": name})


def test_events_come_back_in_the_order_they_happened(tmp_path: Path) -> None:
    timeline = Timeline(tmp_path / "timeline.jsonl")
    late = timeline.record("late", fact=1.5)
    early = timeline.record("early", at_ns=late.at_ns - 1000)
    assert timeline.events() == (early, late)


def test_two_writers_do_not_spoil_each_others_lines(tmp_path: Path) -> None:
    one, other = Timeline(tmp_path / "t.jsonl"), Timeline(tmp_path / "t.jsonl")
    for number in range(50):
        one.record("one", number=number)
        other.record("other", number=number)
    assert len(one.events()) == 100


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    timeline = Timeline(tmp_path / "timeline.jsonl")
    whole = timeline.record("whole")
    with timeline.path.open("a") as file:
        file.write('{"at_ns": 12, "at": "2')
    assert timeline.events() == (whole,)


def test_no_file_is_no_events(tmp_path: Path) -> None:
    assert Timeline(tmp_path / "none.jsonl").events() == ()


def test_an_event_is_now_unless_it_says_otherwise(tmp_path: Path) -> None:
    before_ns = time.monotonic_ns()
    event = Timeline(tmp_path / "timeline.jsonl").record("now")
    assert before_ns <= event.at_ns <= time.monotonic_ns()


def test_a_phase_ends_where_the_next_begins_and_the_last_with_the_load() -> None:
    stopped = Event(at_ns=40, name="workload stopped", facts={})
    events = (phase("baseline", 10), phase("outage", 20), phase("recovery", 30), stopped)
    assert spans(events) == (
        Span(phase=Phase.BASELINE, start_ns=10, end_ns=20),
        Span(phase=Phase.OUTAGE, start_ns=20, end_ns=30),
        Span(phase=Phase.RECOVERY, start_ns=30, end_ns=40),
    )


def test_a_phase_under_way_has_no_end() -> None:
    assert spans((phase("baseline", 10),))[-1].end_ns is None
