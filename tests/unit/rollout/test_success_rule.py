"""Success by the reward, a number in the info, or the length: the same in every mode and number of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_arena import UNMEASURED, Episode, EvaluationError, JobRecord, Reset, Step, evaluate, read_episodes
from pytest_arena.rollout.success_rule import SuccessRule
from tests.jobs import make_job

LENGTHS = (7, 2, 2, 7, 7, 3)
"""Of the episodes, whose rewards are 1, 2, 3 …: by their seeds, whatever runs them."""


def run(output: Path, success: dict[str, Any], **environment: Any) -> tuple[JobRecord, list[Episode]]:
    about = {"id": "tests.registered:arena/Telling-v0", "seed": 3, **environment}
    job = make_job(environment=about, success=success, rollout={"episodes": 6})
    record = evaluate(job, output=output)
    return record, read_episodes(next(output.glob(f"*/{record.job}/episodes.jsonl")))


@pytest.mark.parametrize(
    ("success", "first"),
    [
        ({"reward": ">= 4"}, 4),
        ({"reward": "> 4"}, 5),
        ({"reward": "4..6"}, 4),
        ({"length": ">= 5"}, 5),
        ({"info": "covered", "at_least": 0.6}, 6),
        ({"info": "covered", "at_least": 0.2, "at_most": 0.25}, 2),
        ({"info": "covered", "at_most": 0.1}, 1),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("num_envs", "autoreset"), [(1, "manual"), (4, "manual"), (3, "next_step"), (3, "same_step")]
)
def test_a_success_holds_from_its_step_on(
    tmp_path: Path, success: dict[str, Any], first: int, num_envs: int, autoreset: str
) -> None:
    record, episodes = run(tmp_path, success, num_envs=num_envs, options={"autoreset": autoreset})
    if autoreset == "manual":
        assert tuple(e.length for e in episodes) == LENGTHS
    for episode in episodes:
        reached = episode.length >= first
        assert episode.time_to_success == (first if reached else None), episode
        assert episode.success_once is reached
        assert episode.outcome == ("success" if reached else "failure")
    assert record.metrics["success_rate"] == np.mean([e.length >= first for e in episodes])


def test_at_the_end(tmp_path: Path) -> None:
    _, episodes = run(tmp_path, {"length": "3..5", "when": "at_end"}, num_envs=2)
    assert [e.outcome == "success" for e in episodes] == [3 <= length <= 5 for length in LENGTHS]


def test_what_a_reset_tells(tmp_path: Path) -> None:
    """Before a first step there is no reward, and nothing that lasts; an info may say something."""
    _, by_info = run(tmp_path, {"info": "covered", "at_most": 0.0}, num_envs=2)
    assert [e.success_at_reset for e in by_info] == [True] * 6
    assert [e.outcome for e in by_info] == ["failure"] * 6
    _, by_reward = run(tmp_path / "reward", {"reward": "<= 1"}, num_envs=2)
    assert [e.success_at_reset for e in by_reward] == [None] * 6


def test_what_is_missing_is_unmeasured_and_no_failure(tmp_path: Path) -> None:
    success, options = {"info": "covered", "at_least": 0.2}, {"make": {"silent": 2}}
    record, episodes = run(tmp_path, success, num_envs=3, options=options)
    silent = [e for e in episodes if e.seed is not None and e.seed % 2 == 0]
    assert 0 < len(silent) < 6
    assert {e.outcome for e in silent} == {"unknown"}
    assert {e.outcome for e in episodes if e not in silent} == {"success"}
    assert record.metrics["success_rate"] is None


def test_a_key_that_no_info_has_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        EvaluationError, match=r"^success\.info: .* never had 'covred' \(did you mean 'covered'"
    ):
        run(tmp_path, {"info": "covred", "at_least": 0.2})


@pytest.mark.process
def test_rows_in_processes(tmp_path: Path) -> None:
    success, options = {"info": "covered", "at_least": 0.6}, {"vectorization": "async"}
    _, episodes = run(tmp_path, success, num_envs=2, options=options)
    assert [e.time_to_success for e in episodes] == [6 if length >= 6 else None for length in LENGTHS]


def test_a_row_without_a_step_is_unmeasured() -> None:
    """And an environment that says nothing of its infos leaves success unmeasured."""
    rows, flags = np.zeros(2), np.zeros(2, bool)
    unmeasured = np.full(2, UNMEASURED, np.int8)
    step = Step(rows, np.array([9.0, np.nan]), flags, flags, ~flags, unmeasured)
    parked = Step(rows, np.array([9.0, 9.0]), flags, flags, flags, unmeasured)
    rule = SuccessRule.of(make_job(success={"reward": ">= 4"}))
    assert rule is not None
    assert rule.applied(step, np.array([1, 1])).success.tolist() == [1, UNMEASURED]
    assert rule.applied(parked, np.array([1, 1])).success.tolist() == [UNMEASURED] * 2
    by_info = SuccessRule.of(make_job(success={"info": "covered", "at_least": 1}))
    assert by_info is not None
    assert by_info.applied(step, np.array([1, 1])).success.tolist() == [UNMEASURED] * 2
    assert by_info.at_reset(Reset(rows, unmeasured)).success.tolist() == [UNMEASURED] * 2
    assert SuccessRule.of(make_job(success={"info_key": "covered"})) is None
