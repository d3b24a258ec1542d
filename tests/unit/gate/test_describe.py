"""Decisions in words: what, on how many episodes of how many, with which error rate, and what would decide."""

from __future__ import annotations

import re

import pytest

from pytest_arena.gate.describe import LARGEST_BUDGET, describe_rate_test, larger_budget, percent
from pytest_arena.gate.job_gate import JobGate, recorded_test
from tests.unit.gate.test_job_gate import gate_of, play

S, F, E = ["success"], ["failure"], ["error"]


def say(gate: JobGate, outcomes: list[str]) -> str:
    play(gate, outcomes)
    return describe_rate_test(gate.record, gate.record.tests[0])


def test_a_pass() -> None:
    assert say(gate_of(), S * 29 + F) == (
        "success_rate >= 0.8: pass after 30 of at most 100 episodes: 29 successes, 29 or more pass; "
        "a true rate of 0.8 or less passes in at most 5% of runs"
    )


def test_a_failure() -> None:
    assert say(gate_of(beta=0.01), S * 1 + F * 9) == (
        "success_rate >= 0.8: fail after 10 of at most 100 episodes: 1 success, 3 or fewer fail; "
        "a true rate of 0.8 or more fails in at most 1% of runs"
    )


def test_at_most() -> None:
    assert say(gate_of("<= 0.2"), F * 29 + S).endswith(
        "1 success, 1 or fewer pass; a true rate of 0.2 or more passes in at most 5% of runs"
    )
    assert say(gate_of("<= 0.2"), S * 10).endswith(
        "10 successes, 7 or more fail; a true rate of 0.2 or less fails in at most 5% of runs"
    )


def test_errors() -> None:
    assert "29 successes and 1 error, counted against either verdict, 29 or more pass" in say(
        gate_of(), S * 29 + E
    )


def test_inconclusive_with_what_would_decide() -> None:
    line = say(gate_of(), (S * 5 + F) * 16 + S * 4)
    assert line.startswith(
        "success_rate >= 0.8: inconclusive after all 100 episodes: 84 successes, 88 or more pass, 71 or fewer fail; "
        "if the true rate is the measured 0.84, a new run with gate.episodes_max: 1200 decides with a probability of 0."
    )
    assert float(re.findall(r"0\.\d\d$", line)[0]) >= 0.9
    gate = gate_of(method="e_process")
    assert "going on (--arena-resume) with gate.episodes_max: " in say(gate, (S * 5 + F) * 16 + S * 4)


def test_too_close_for_any_budget() -> None:
    assert say(gate_of(), (S * 8 + F * 2) * 10).endswith(
        f"the measured 0.8 is too close to 0.8 for a budget up to {LARGEST_BUDGET}"
    )


def test_undecided() -> None:
    assert say(gate_of(), S * 9) == (
        "success_rate >= 0.8: not decided, fewer than 10 episodes can be read in their order"
    )
    assert say(gate_of(), S * 10) == (
        "success_rate >= 0.8: not decided after 10 of at most 100 episodes: 10 successes, no number passes at "
        "this look, 3 or fewer fail"
    )


def test_the_proposed_budget_decides() -> None:
    gate = gate_of()
    plan = recorded_test(gate.record, gate.record.tests[0])
    budget, probability = larger_budget(plan, 10, 0.88) or (0, 0)
    assert 150 <= budget <= 350
    assert probability >= 0.9
    assert larger_budget(plan, 10, 0.8001) is None


@pytest.mark.parametrize(("probability", "text"), [(0.05, "5%"), (0.001, "0.1%"), (0.125, "12.5%")])
def test_percent(probability: float, text: str) -> None:
    assert percent(probability) == text
