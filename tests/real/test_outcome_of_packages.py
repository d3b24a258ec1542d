"""Success and metrics from what real packages say: coverage of PushT, and Fetch, which says nothing at reset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_arena import Episode, JobRecord, evaluate, read_episodes
from tests.jobs import make_job

pytestmark = pytest.mark.real


def run(output: Path, **changes: Any) -> tuple[JobRecord, list[Episode]]:
    record = evaluate(make_job(policy={"type": "random"}, **changes), output=output)
    return record, read_episodes(next(output.glob(f"*/{record.job}/episodes.jsonl")))


@pytest.mark.parametrize("num_envs", [1, 3])
def test_pusht_by_its_coverage(tmp_path: Path, num_envs: int) -> None:
    """Its seeds are those that a protocol names, and its own verdict is that of its coverage."""
    pytest.importorskip("gym_pusht")
    environment = {
        "id": "gym_pusht:gym_pusht/PushT-v0",
        "num_envs": num_envs,
        "max_episode_steps": 25,
        "seeds": {"start": 100_000},
        "options": {"make": {"obs_type": "state"}},
    }
    record, episodes = run(
        tmp_path,
        environment=environment,
        success={"info": "coverage", "at_least": 0.3},
        metrics={"coverage": {"info": "coverage", "reduce": "max"}, "own": {"info": "is_success"}},
    )
    assert [e.seed for e in episodes] == [100_000, 100_001, 100_002, 100_003]
    coverage = [e.metrics["coverage"] for e in episodes]
    assert all(value is not None and 0 <= value <= 1 for value in coverage)
    assert [e.success_once for e in episodes] == [value is not None and value >= 0.3 for value in coverage]
    assert [e.metrics["own"] for e in episodes] == [0.0] * 4
    # PushT's reward is its coverage in parts of 0.95, at most 1.
    rewards = [min(value / 0.95, 1.0) for value in coverage if value is not None]
    assert [e.max_reward for e in episodes] == pytest.approx(rewards)
    assert record.reproducible


def test_fetch_begins_in_success_and_does_not_say_so(tmp_path: Path) -> None:
    pytest.importorskip("gymnasium_robotics")
    environment = {"id": "gymnasium_robotics:FetchPush-v4", "num_envs": 2, "max_episode_steps": 5}
    record, episodes = run(tmp_path, environment=environment, rollout={"episodes": 20})
    early = [e.episode for e in episodes if e.time_to_success == 1]
    assert len(early) >= 2, "a random policy has its successes there"
    assert {e.success_at_reset for e in episodes} == {None}
    assert any(
        note.startswith(f"success held after the first step in {len(early)} of 20") for note in record.notes
    )
