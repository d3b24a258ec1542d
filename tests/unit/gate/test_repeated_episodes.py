"""Episodes that repeat others count once where nothing is left to chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_arena import Episode, JobRecord, Verdict
from pytest_arena.gate.describe import describe_rate_test
from pytest_arena.gate.intervals import wilson
from pytest_arena.gate.job_gate import JobGate
from pytest_arena.gate.recheck import recheck
from pytest_arena.gate.repeated_episodes import count_distinct_starts, without_repetitions
from tests.jobs import judged, make_job
from tests.unit.gate.test_job_gate import episode


def begun(starts: list[int], good: Any = lambda start: True, **more: Any) -> list[Episode]:
    """Episodes whose result their start decides."""
    return [
        episode(
            i, "success" if good(s) else "failure", initial_state=f"{s:016x}", **{"length": s + 1, **more}
        )
        for i, s in enumerate(starts)
    ]


def record_of(episodes: list[Episode], deterministic: bool = True, **job: Any) -> JobRecord:
    made = make_job(**{"thresholds": {"success_rate": ">= 0.8"}, **job})
    record = JobRecord("job", 1, "", "gymnasium", "x", "zero", deterministic=deterministic)
    record.episodes = {"requested": len(episodes)}
    return judged(record, made, episodes)


def test_repetitions_are_found_whatever_their_order() -> None:
    episodes = begun([3, 1, 3, 2, 1])
    found = without_repetitions(episodes[::-1])
    assert found is not None
    assert [e.episode for e in found] == [0, 1, 3]
    assert count_distinct_starts(episodes) == 3


def test_what_begins_alike_and_ends_differently_is_no_repetition() -> None:
    episodes = begun([1, 1, 2])
    episodes[1].return_ = 0.5
    assert without_repetitions(episodes) is None


def test_episodes_without_a_known_start_and_errors_repeat_nothing() -> None:
    episodes = begun([1, 1, 1])
    episodes[0].initial_state = None
    episodes[1].outcome = episode(1, "error").outcome
    assert len(without_repetitions(episodes) or ()) == 3
    assert count_distinct_starts(episodes) is None


def test_intervals_are_over_different_starts() -> None:
    starts = np.random.default_rng(0).integers(50, size=200).tolist()
    number = len(set(starts))
    record = record_of(begun(starts))
    assert record.metrics["success_rate"] == 1.0
    assert record.intervals["success_rate"] == wilson(number, number)
    (note,) = record.notes
    assert note.startswith(f"200 episodes began in {number} different states, and nothing is left to chance")


def test_intervals_hold_for_the_episodes_as_well() -> None:
    """A start that comes again and again counts in the rate, and in the wider of both intervals."""
    record = record_of(begun([0] * 30 + list(range(1, 11)), good=lambda start: start != 0))
    low, high = record.intervals["success_rate"]
    assert low == wilson(10, 40)[0]
    assert high == wilson(10, 11)[1]


@pytest.mark.parametrize("starts", [[1] * 20, [1, 2] * 10])
def test_chance_makes_episodes_different(starts: list[int]) -> None:
    record = record_of(begun(starts), deterministic=False)
    assert record.intervals["success_rate"] == wilson(20, 20)
    states = "the same state" if len(set(starts)) == 1 else "2 different states"
    assert record.notes == [f"20 episodes began in {states}, as far as the observation tells"]


def gate_of(episodes: list[Episode], **gate: Any) -> tuple[JobGate, JobRecord]:
    job = {"thresholds": {"success_rate": ">= 0.8"}, "gate": {"episodes_max": 60, **gate}}
    made = JobGate.of(make_job(**job), (), episodes, deterministic=True)
    assert made is not None
    return made, record_of(episodes, **job)


def test_a_gate_does_not_pass_by_repetition() -> None:
    episodes = begun([i % 5 for i in range(60)])
    gate, record = gate_of(episodes)
    (test,) = gate.record.tests
    assert (test.verdict, gate.record.counted, gate.record.different) == (Verdict.INCONCLUSIVE, 60, 5)
    assert [look.held for look in test.path] == [look.episodes >= 20 for look in test.path]
    assert describe_rate_test(gate.record, test).endswith(
        "they began in only 5 different states, and over these nothing is decided"
    )
    assert recheck(record, episodes) == []


def test_a_gate_passes_when_different_starts_are_enough() -> None:
    """Each start comes twice: the verdict of 20 episodes comes after 40."""
    episodes = begun([i // 2 for i in range(60)])
    gate, record = gate_of(episodes)
    (test,) = gate.record.tests
    assert (test.verdict, gate.record.counted, gate.record.different) == (Verdict.PASS, 40, 20)
    assert recheck(record, episodes) == []
    assert gate_of(begun(list(range(60))))[0].record.counted == 20


def test_a_gate_does_not_fail_by_repetition_either() -> None:
    gate, _ = gate_of(begun([i % 3 for i in range(60)], good=lambda start: False))
    assert gate.record.tests[0].verdict is Verdict.INCONCLUSIVE


def test_a_hidden_state_makes_all_episodes_count() -> None:
    """The observation does not tell the goal: all begin alike, and end differently."""
    episodes = begun([0] * 60, good=lambda start: True)
    for index, one in enumerate(episodes):
        one.length = index % 7 + 1
    gate, record = gate_of(episodes)
    assert (gate.record.tests[0].verdict, gate.record.counted, gate.record.different) == (
        Verdict.PASS,
        20,
        None,
    )
    assert recheck(record, episodes) == []


def test_what_the_guarantee_needs_is_named() -> None:
    rebuilt = {"gate": {"episodes_max": 60}, "rollout": {"rebuilds": 4}}
    record = record_of(begun(list(range(60))), **rebuilt)
    assert any("those of one rebuild (there are 4)" in note for note in record.notes)
    record = JobRecord("job", 1, "", "isaaclab", "x", "zero")
    record.identity = {"capabilities": {"episode_seeds": False}}
    record.episodes = {"requested": 60}
    job = make_job(
        thresholds={"success_rate": ">= 0.8"},
        gate={"episodes_max": 60},
        environment={"id": "x", "num_envs": 10},
    )
    judged(record, job, begun(list(range(60))))
    assert any("those of one row (there are 10)" in note for note in record.notes)


@pytest.mark.statistics
def test_the_error_rate_of_a_gate_over_drawn_goals() -> None:
    """Jobs draw fifty goals, of which a policy that is as good as the threshold masters each with its chance.

    All episodes counted, 5 % gates pass far more often: their guarantee is over the fifty goals that were drawn.
    """
    rng, jobs = np.random.default_rng(2026), 400
    passed = {True: 0, False: 0}
    for _ in range(jobs):
        mastered = rng.random(50) < 0.8
        starts = rng.integers(50, size=400).tolist()
        episodes = begun(starts, good=lambda start: bool(mastered[start]))  # noqa: B023
        for deterministic in passed:
            gate = JobGate.of(
                make_job(thresholds={"success_rate": ">= 0.8"}, gate={"episodes_max": 400}),
                (),
                episodes,
                deterministic,
            )
            assert gate is not None
            passed[deterministic] += gate.record.tests[0].verdict is Verdict.PASS
    assert passed[True] <= 0.05 * jobs
    assert passed[False] > 0.2 * jobs
