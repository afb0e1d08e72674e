"""The audit log shows every change made to it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from perfchaos.errors import PerfchaosError
from perfchaos.safety import audit

pytestmark = pytest.mark.usefixtures("state")


def three_entries() -> None:
    for number in range(3):
        audit.record("run began", run=f"run-{number}", target="acme")


def test_entries_are_kept_in_order_with_who_and_what() -> None:
    three_entries()
    assert [entry.facts["run"] for entry in audit.entries()] == ["run-0", "run-1", "run-2"]
    assert {entry.event for entry in audit.entries()} == {"run began"}
    assert all(entry.who and entry.host for entry in audit.entries())
    verified = audit.verify()
    assert (verified.count, verified.flaw) == (3, None)


def test_an_empty_log_is_unbroken() -> None:
    assert audit.verify().flaw is None


@pytest.mark.parametrize(
    ("tamper", "flaw"),
    [
        (lambda lines: [lines[0], lines[1].replace("run-1", "run-9"), lines[2]], "line 3 does not"),
        (lambda lines: [lines[0], lines[2]], "line 2 has the number 3"),
        (lambda lines: lines[:2], "the log ends at line 2, but 3 were written"),
        (lambda lines: [lines[0], lines[0], lines[1], lines[2]], "line 2 has the number 1"),
        (lambda lines: [*lines[:2], lines[2].replace("acme", "acne")], "the log ends at line 3"),
        (lambda lines: ["not json", *lines[1:]], "line 1 is not JSON"),
    ],
)
def test_a_change_shows(tamper: Callable[[list[str]], list[str]], flaw: str) -> None:
    three_entries()
    lines = audit.log_file().read_text().splitlines()
    audit.log_file().write_text("\n".join(tamper(lines)) + "\n")
    found = audit.verify().flaw
    assert found is not None
    assert found.startswith(flaw)


@pytest.mark.parametrize("last", ['{"number": 4, "at"', "[]", '{"text": 1}\n', "\x00\n"])
def test_a_last_line_that_is_not_ours_blocks_nobody_and_is_named(last: str) -> None:
    three_entries()
    with audit.log_file().open("a") as log:
        log.write(last)
    audit.record("run began", run="run-3", target="acme")
    assert [entry.facts["run"] for entry in audit.entries()] == [f"run-{n}" for n in range(4)]
    flaw = audit.verify().flaw
    assert flaw is not None
    assert flaw.startswith("line 4 ")


def test_many_writers_make_one_chain() -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: audit.record("x", n=n), range(40)))
    assert audit.verify() == audit.Verified(count=40, head=audit.verify().head, flaw=None)


def test_a_log_that_cannot_be_written_is_an_error(state: Path) -> None:
    state.mkdir()
    (state / "audit.jsonl").symlink_to("/dev/full")
    with pytest.raises(PerfchaosError, match="audit log"):
        audit.record("run began")
