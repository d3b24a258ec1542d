"""Whatever ends a rollout, its record is closed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_arena import Episode, Job, Metric, Policy, RunDirectory
from pytest_arena.evaluation.run_job import Evaluation
from pytest_arena.records.attempt import Attempt
from tests.fakes import LongFailures
from tests.jobs import make_job


class Still(Policy):
    """Does nothing; *deeds* name what raises what."""

    def __init__(self, **deeds: BaseException) -> None:
        self.deeds = deeds

    def act(self, observation: Any) -> Any:
        self.do("act")
        return np.zeros((len(observation), 2), np.float32)

    def review(self, episodes: Any) -> list[str]:
        self.do("review")
        return []

    def do(self, what: str) -> None:
        if what in self.deeds:
            raise self.deeds[what]


class Unreadable(Metric):
    """Cannot be read back from an episode."""

    name = "unreadable"

    def end(self, row: int, episode: Episode) -> float | None:
        return 1.0

    def value(self, episode: Episode) -> float | None:
        raise RuntimeError("no value")


def run(tmp_path: Path, policy: Policy, metrics: Any = (), **job: Any) -> dict[str, Any]:
    made: Job = make_job(**job)
    attempt = Attempt.begin(made, RunDirectory.create(tmp_path), "job")
    evaluation = Evaluation(made, attempt, lambda rebuild: LongFailures(4, 1.0), policy, metrics=metrics)
    with pytest.raises(BaseException) as raised:
        evaluation.run()
    record: dict[str, Any] = json.loads(attempt.directory.record.read_text())
    return {"raised": raised.value, **record}


def test_a_metric_that_raises_when_the_episodes_are_judged(tmp_path: Path) -> None:
    record = run(tmp_path, Still(), [Unreadable()])
    assert (record["status"], record["error"]["message"]) == ("error", "no value")
    assert record["finished_at"]
    assert "the episodes could not be judged: RuntimeError: no value" in record["notes"]


def test_such_a_metric_after_ctrl_c(tmp_path: Path) -> None:
    record = run(tmp_path, Still(act=KeyboardInterrupt()), [Unreadable()])
    assert isinstance(record["raised"], KeyboardInterrupt)
    assert record["status"] == "interrupted"
    assert record["finished_at"]


def test_ctrl_c_while_the_policy_reviews_a_failure(tmp_path: Path) -> None:
    policy = Still(act=ValueError("no action"), review=KeyboardInterrupt())
    record = run(tmp_path, policy)
    assert isinstance(record["raised"], KeyboardInterrupt)
    assert (record["status"], record["error"]["message"]) == ("error", "no action")
