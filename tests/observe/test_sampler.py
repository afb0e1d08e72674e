"""Looks at regular intervals: none that failed is left out, and the first is waited for."""

import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from perfchaos.observe.sampler import Sampler, readings
from perfchaos.run import recovering
from perfchaos.timeline import Fact
from tests.measure.test_server import state


def test_a_look_that_breaks_is_a_failed_one_and_the_next_is_tried(tmp_path: Path) -> None:
    looked_again = threading.Event()
    looks = 0

    def look() -> Mapping[str, Fact]:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise ZeroDivisionError("nobody thought of it")
        looked_again.set()
        return {"looks": looks}

    with Sampler(tmp_path / "looks.jsonl", look, interval_s=0.001):
        assert looked_again.wait(10)
    first, second, *_ = readings(tmp_path / "looks.jsonl")
    assert "nobody thought of it" in (first.failed or "")
    assert (second.failed, second.values) == (None, {"looks": 2})


def test_the_first_look_at_a_slow_server_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a hypothesis asks of a healthy but slow server is not unknown for want of patience."""
    waits = 0
    asked_for_long = threading.Event()

    def go_on(duration_s: float) -> None:
        nonlocal waits
        waits += 1
        if waits > 3:
            asked_for_long.set()
        threading.Event().wait(duration_s)

    class SlowLook(ExitStack):
        def __call__(self) -> Mapping[str, Fact]:
            assert asked_for_long.wait(10)
            return state(1.0).facts()

    monkeypatch.setattr(recovering, "PostgresLook", lambda *_, **__: SlowLook())
    monkeypatch.setattr(recovering, "login_of", lambda _: None)
    with ExitStack() as companions:
        run = SimpleNamespace(
            directory=SimpleNamespace(path=tmp_path),
            target=SimpleNamespace(postgres=None),
            companions=companions,
            go_on=go_on,
        )
        assert recovering.postgres_states(cast("Any", run))
