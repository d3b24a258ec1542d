"""What code that is not ours may not do to the process."""

from __future__ import annotations

import os
import signal
import sys
import unittest
from pathlib import Path

import pytest

from pytest_arena.errors import StrayOutcomeError
from pytest_arena.guards.foreign_code import foreign_code


class OwnBase(BaseException):
    """Somebody's."""


OUTCOMES = [
    pytest.skip.Exception("no GPU"),
    pytest.xfail.Exception("known"),
    pytest.fail.Exception("no"),
    pytest.exit.Exception("bye"),
    unittest.SkipTest("later"),
    GeneratorExit(),
    OwnBase("own"),
    SystemExit(0),
]


@pytest.mark.parametrize("raised", OUTCOMES, ids=lambda e: type(e).__name__)
def test_an_outcome_is_an_error(raised: BaseException) -> None:
    with (
        pytest.raises(StrayOutcomeError, match=f"the policy raised {type(raised).__name__}") as found,
        foreign_code("the policy"),
    ):
        raise raised
    assert found.value.__cause__ is raised


@pytest.mark.parametrize("raised", [ValueError("x"), KeyboardInterrupt(), AssertionError()])
def test_other_exceptions_stay_what_they_are(raised: BaseException) -> None:
    with pytest.raises(type(raised)) as found, foreign_code("the policy"):
        raise raised
    assert found.value is raised


@pytest.mark.process
@pytest.mark.parametrize(
    ("raised", "status"),
    [(SystemExit(0), 0), (SystemExit(5), 5), (SystemExit("why"), 1), (ValueError(), 1), (None, 1)],
)
def test_a_forked_child_ends(raised: BaseException | None, status: int) -> None:
    with foreign_code("the policy"):
        child = os.fork()
        if child == 0 and raised is not None:
            raise raised
    assert child != 0, "a child has come out"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == status


def test_the_process_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGINT), sys.getrecursionlimit(), sys.stdout
    gone = tmp_path / "gone"
    gone.mkdir()
    with foreign_code("the environment"):
        os.chdir(gone)
        gone.rmdir()
        sys.setrecursionlimit(5000)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stdout.close()
        sys.stdout = None  # type: ignore[assignment]
    assert Path.cwd() == tmp_path
    assert (signal.getsignal(signal.SIGINT), sys.getrecursionlimit(), sys.stdout) == before
    print("still open")
    assert "close" not in vars(sys.stdout)
