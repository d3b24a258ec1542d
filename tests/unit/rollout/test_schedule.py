from __future__ import annotations

import numpy as np
import pytest

from pytest_arena import episode_seeds
from pytest_arena.jobs.model import split_episodes
from pytest_arena.jobs.sections import Environment
from pytest_arena.rollout.schedule import fixed_schedule


@pytest.mark.parametrize(
    ("episodes", "rebuilds", "sizes"),
    [(5, 2, [3, 2]), (4, 2, [2, 2]), (7, 3, [3, 2, 2]), (1, 1, [1]), (3, 3, [1, 1, 1])],
)
def test_larger_shares_come_first(episodes: int, rebuilds: int, sizes: list[int]) -> None:
    ranges = split_episodes(episodes, rebuilds)
    assert [len(share) for share in ranges] == sizes
    assert [episode for share in ranges for episode in share] == list(range(episodes))


def test_seeds_are_pinned() -> None:
    """Changing these numbers would silently change every published evaluation."""
    assert episode_seeds(0, 0, 0) == (4088532484 - 2**31, 613525653)
    assert episode_seeds(7, 1, 3) == (3770105153 - 2**31, 2282519810)


def test_an_environments_seed_fits_into_a_c_int() -> None:
    seeds = [episode_seeds(0, 0, episode)[0] for episode in range(1000)]
    assert 0 <= min(seeds) < max(seeds) < 2**31
    assert np.mean(np.array(seeds) < 2**30) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("seeds", [[9, 3, 9], {"start": 1000}])
def test_a_job_may_give_the_seeds(seeds: list[int] | dict[str, int]) -> None:
    """The policy's are computed in any case: shared with the environment they would correlate the noise."""
    environment = Environment.model_validate({"id": "any", "seed": 4, "seeds": seeds})
    schedule = fixed_schedule(range(3), environment, rebuild=1, num_envs=2, seeded=True)
    starts = [start for _ in range(3) if (start := schedule.next_for(0)) is not None]
    assert [start.seed for start in starts] == ([9, 3, 9] if isinstance(seeds, list) else [1000, 1001, 1002])
    assert [start.policy_seed for start in starts] == [episode_seeds(4, 1, i)[1] for i in range(3)]


def test_seeds_differ_by_job_rebuild_and_episode() -> None:
    seeds = {episode_seeds(job, rebuild, e) for job in range(5) for rebuild in range(4) for e in range(50)}
    assert len(seeds) == 1000


def test_without_row_seeds_each_row_has_a_quota() -> None:
    schedule = fixed_schedule(range(5), Environment(id="any"), rebuild=0, num_envs=2, seeded=False)
    drawn = [start.episode for _ in range(3) if (start := schedule.next_for(0)) is not None]
    assert drawn == [0, 2, 4]
    assert schedule.next_for(0) is None
    assert schedule.next_for(1).episode == 1
