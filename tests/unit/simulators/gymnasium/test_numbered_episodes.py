"""The index of an episode reaches the environment's reset, whichever row runs it, and whenever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_arena import Episode, Job, JobRecord, evaluate, read_episodes
from tests.jobs import make_job


def numbered(num_envs: int = 1, episodes: int = 7, **changes: Any) -> Job:
    options = {"episode_option": "state", **changes.pop("options", {})}
    environment = {"id": "tests.registered:arena/Numbered-v0", "num_envs": num_envs, "options": options}
    environment.update(changes.pop("environment", {}))
    return make_job(environment=environment, rollout={"episodes": episodes}, **changes)


def run(output: Path, job: Job) -> tuple[JobRecord, list[Episode]]:
    record = evaluate(job, output=output)
    return record, read_episodes(next(output.glob(f"*/{record.job}/episodes.jsonl")))


@pytest.mark.parametrize(
    ("num_envs", "vectorization"),
    [(1, "sync"), (3, "sync"), (9, "sync"), pytest.param(2, "async", marks=pytest.mark.process)],
)
def test_each_episode_begins_in_its_state(tmp_path: Path, num_envs: int, vectorization: str) -> None:
    job = numbered(num_envs, options={"vectorization": vectorization}, environment={"seeds": {"start": 1000}})
    record, episodes = run(tmp_path, job)
    assert record.reproducible
    assert [e.seed for e in episodes] == list(range(1000, 1007))
    assert [e.length for e in episodes] == [k % 4 + 2 for k in range(7)]
    assert [e.outcome for e in episodes] == ["success", "failure"] * 3 + ["success"]


def test_nothing_is_given_where_nothing_is_asked_for(tmp_path: Path) -> None:
    _, episodes = run(tmp_path, numbered(2, options={"episode_option": None}))
    assert {e.length for e in episodes} == {-1 % 4 + 2}


def test_a_film_by_replay_begins_in_the_state_of_its_episode(tmp_path: Path) -> None:
    """Rows that are done are reset as well, and a replay begins in the row that the episode had."""
    job = numbered(3, environment={"cameras": {"render": {}}}, record={"video": "retain-on-failure"})
    record, episodes = run(tmp_path, job)
    assert record.reproducible
    assert [e.episode for e in episodes if e.videos] == [1, 3, 5]
    assert not any(e.videos_note for e in episodes)
