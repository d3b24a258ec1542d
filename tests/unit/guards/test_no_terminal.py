"""Who asks on the terminal is told at once that nobody is there."""

from __future__ import annotations

import sys

import pytest

from pytest_arena.guards.no_terminal import nobody_answers


def test_a_question_is_not_waited_for() -> None:
    terminal = sys.stdin
    with pytest.raises(EOFError), nobody_answers():
        input("(y|n): ")
    assert sys.stdin is terminal
