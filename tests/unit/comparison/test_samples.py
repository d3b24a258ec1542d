"""Which episodes are the same ones."""

from __future__ import annotations

import dataclasses

import pytest

from pytest_arena import Metric, Outcome
from pytest_arena.comparison.decision_rule import metric_named
from pytest_arena.comparison.samples import Sample, pair, sample_of
from pytest_arena.errors import NotComparableError
from tests.unit.gate.samples import episode, rates


def standard(name: str) -> Metric:
    found = metric_named(name, [])
    assert found is not None
    return found


def test_a_sample_is_in_episode_order() -> None:
    episodes = [episode(2, False), episode(0)]
    sample = sample_of(episodes, standard("success_rate"), fixed=True, whose="this run")
    assert [(p.episode, p.value, p.seed, p.initial_state) for p in sample.points] == [
        (0, 1.0, 100, "state 0"),
        (2, 0.0, 102, "state 2"),
    ]
    assert sample.counts == (1, 2)
    assert sample_of(episodes, standard("return"), fixed=True, whose="").counts is None


@pytest.mark.parametrize(
    ("episodes", "words"),
    [
        ([episode(0), episode(1, None)], "success_rate is missing in 1 of 2 episodes of the baseline"),
        ([episode(0), episode(1, outcome=Outcome.ERROR)], "1 of 2 episodes of the baseline are errors"),
        ([], "success_rate is missing in 0 of 0 episodes of the baseline"),
    ],
)
def test_a_part_of_the_episodes_is_no_sample(episodes: list, words: str) -> None:
    with pytest.raises(NotComparableError, match=words):
        sample_of(episodes, standard("success_rate"), fixed=True, whose="the baseline")


def test_same_seed_and_same_state_are_the_same_episode() -> None:
    pairs = pair(rates([1, 0, 1]), rates([0, 0, 1]))
    assert (pairs.same_episodes, pairs.reason) == (True, None)
    assert (pairs.before.tolist(), pairs.after.tolist()) == ([1, 0, 1], [0, 0, 1])


def test_episodes_are_matched_by_index_not_by_place() -> None:
    longer, shorter = rates([1, 0, 1, 1]), rates([0, 1, 0, 0])
    late = Sample(shorter.points[2:], (0, 2))
    pairs = pair(longer, late)
    assert (pairs.before.tolist(), pairs.after.tolist()) == ([1, 1], [0, 0])


def test_another_state_is_another_episode_though_the_seed_is_the_same() -> None:
    """It is kept, and paired by its index: what began elsewhere is a part of the run."""
    before = rates([1] * 10)
    for same in (9, 6, 1):
        points = [
            dataclasses.replace(p, initial_state="x") if p.episode >= same else p
            for p in rates([0] * 10).points
        ]
        pairs = pair(before, Sample(tuple(points), (0, 10)))
        assert pairs.same_episodes
        assert (len(pairs.before), pairs.matched, pairs.episodes) == (10, same, tuple(range(10)))
        assert pairs.reason == f"the initial states agree in only {same} of 10 episodes"
    elsewhere = [dataclasses.replace(p, initial_state="x") for p in rates([0] * 10).points]
    pairs = pair(before, Sample(tuple(elsewhere), (0, 10)))
    assert (pairs.same_episodes, pairs.matched, len(pairs.before)) == (False, 0, 10)
    assert pairs.reason == "the initial states agree in only 0 of 10 episodes"


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (rates([1, 1], states=False), rates([1, 1]), "the baseline has no initial states of its episodes"),
        (rates([1, 1]), rates([1, 1], states=False), "this run has no initial states of its episodes"),
        (rates([1, 1]), rates([1, 1], seeds=50), "the seeds differ"),
    ],
)
def test_why_episodes_are_not_paired(before: Sample, after: Sample, reason: str) -> None:
    assert pair(before, after).reason == reason


def test_a_short_run_is_covered_by_a_long_one() -> None:
    pairs = pair(rates([1] * 200), rates([1] * 20))
    assert pairs.same_episodes
    assert len(pairs.before) == 20


def test_episodes_of_a_deterministic_job_repeat_where_they_begin_and_end_alike() -> None:
    episodes = [episode(index, index % 3 > 0, initial_state=f"state {index % 3}") for index in range(9)]
    sample = sample_of(episodes, standard("success_rate"), fixed=True, whose="", deterministic=True)
    assert (sample.repeats, sample.counts) == (True, (6, 9))
    assert ([p.episode for p in sample.different().points], sample.different().counts) == ([0, 1, 2], (2, 3))
    by_chance = sample_of(episodes, standard("success_rate"), fixed=True, whose="")
    assert by_chance.different() is by_chance
    episodes[8] = episode(8, False, initial_state="state 2")  # so the state is not all that there is
    hidden = sample_of(episodes, standard("success_rate"), fixed=True, whose="", deterministic=True)
    assert not hidden.repeats
