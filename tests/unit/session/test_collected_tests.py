"""Which tests never ended, though nobody stopped the session."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_arena.session.lost_tests import CollectedTests

NODE = "test_it.py::test_it[reach]"


def report(when: str, outcome: str) -> pytest.TestReport:
    return pytest.TestReport(NODE, ("test_it.py", 1, "it"), {}, outcome, None, when)  # type: ignore[arg-type]


def session(exitstatus: int = 0, **attributes: Any) -> Any:
    return SimpleNamespace(
        **{"shouldstop": False, "shouldfail": False, "exitstatus": exitstatus, **attributes}
    )


@pytest.mark.parametrize(
    ("reports", "done"),
    [
        ([("setup", "passed"), ("call", "passed"), ("teardown", "passed")], True),
        ([("setup", "skipped"), ("teardown", "passed")], True),
        ([("setup", "failed"), ("teardown", "passed")], True),
        ([("call", "failed")], True),
        ([("setup", "passed")], False),
        ([("setup", "passed"), ("call", "passed")], False),
        ([("setup", "passed"), ("call", "rerun")], False),
        ([("setup", "passed"), ("call", "rerun"), ("setup", "passed"), ("call", "failed")], True),
    ],
)
def test_what_counts_as_run(reports: list[tuple[str, str]], done: bool) -> None:
    tests = CollectedTests([NODE])
    for when, outcome in reports:
        tests.note(report(when, outcome))
    assert tests.never_ended(session()) == ([] if done else [NODE])


def test_a_stopped_session_has_lost_nothing() -> None:
    tests = CollectedTests(["a", "b", "a"])
    assert tests.never_ended(session()) == ["a", "b"]
    assert tests.never_ended(session(shouldfail="stopping after 1 failures")) == []
    assert tests.never_ended(session(shouldstop="enough")) == []
    assert tests.never_ended(session(pytest.ExitCode.INTERRUPTED)) == []
