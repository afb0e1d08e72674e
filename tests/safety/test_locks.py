"""A locked target takes no runs, and one that is being harmed takes no second one."""

from pathlib import Path

import pytest

from perfchaos.safety.locks import Locked, claim, lock, require_unlocked, unlock


def test_a_locked_target_says_who_locked_it_and_why(state: Path) -> None:
    del state
    lock("acme", why="release on Friday")
    with pytest.raises(Locked, match=r"release on Friday.*perfchaos unlock"):
        require_unlocked("acme")
    require_unlocked("other")
    assert unlock("acme")
    require_unlocked("acme")
    assert not unlock("acme")


def test_the_first_lock_stays(state: Path) -> None:
    del state
    lock("acme", why="first")
    with pytest.raises(Locked, match="first"):
        lock("acme", why="second")


def test_a_lock_that_cannot_be_read_is_a_lock(state: Path) -> None:
    lock("acme", why="first")
    (state / "locks" / "acme.lock").write_text("{")
    with pytest.raises(Locked, match="cannot be read"):
        require_unlocked("acme")


def test_two_runs_do_not_harm_the_same_target(state: Path) -> None:
    del state
    first = claim("acme", run_id="run-1")
    with pytest.raises(Locked, match="run run-1 is under way on target 'acme'"):
        claim("acme", run_id="run-2")
    claim("other", run_id="run-2").release()
    first.release()
    claim("acme", run_id="run-2").release()


@pytest.mark.parametrize(
    ("first", "second", "excluded"),
    [
        ("http://127.0.0.1:8474", "http://127.0.0.1:8474", True),
        ("http://127.0.0.1:8474", "http://localhost:8474/", True),
        ("http://127.0.0.1:8474", "http://127.0.0.1:8475", False),
        ("http://192.0.2.1:8474", "http://192.0.2.2:8474", False),
        ("http://192.0.2.1", "http://192.0.2.1:80", True),
        ("http://127.0.0.1:8474", None, False),
    ],
)
def test_two_targets_with_one_toxiproxy_exclude_each_other(
    state: Path, first: str, second: str | None, excluded: bool
) -> None:
    del state
    held = claim("acme", run_id="run-1", toxiproxy_url=first)
    if excluded:
        with pytest.raises(Locked, match="run run-1 is under way on the Toxiproxy"):
            claim("other", run_id="run-2", toxiproxy_url=second)
        claim("other", run_id="run-2").release()  # Its own claim was let go.
    else:
        claim("other", run_id="run-2", toxiproxy_url=second).release()
    held.release()
    claim("other", run_id="run-2", toxiproxy_url=second).release()
