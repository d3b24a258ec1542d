"""Metrics that a job defines: over the steps of an episode, then over the episodes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_arena import Episode, EvaluationError, Job, JobRecord, Metric, Step, evaluate, read_episodes
from pytest_arena.jobs.sections import InfoMetric
from pytest_arena.rollout.info_metrics import MetricOfInfo
from pytest_arena.rollout.transition import Transition
from tests.fakes import LongFailures
from tests.jobs import make_job

NUMPYS: dict[str, Any] = {
    "max": np.nanmax,
    "min": np.nanmin,
    "mean": np.nanmean,
    "sum": np.nansum,
    "last": lambda values: values[-1],
}


def job(metrics: dict[str, Any], num_envs: int = 1, **changes: Any) -> Job:
    environment = {"id": "tests.registered:arena/Telling-v0", "num_envs": num_envs, "seed": 3}
    environment.update(changes.pop("environment", {}))
    return make_job(environment=environment, metrics=metrics, rollout={"episodes": 6}, **changes)


def run(output: Path, job: Job, *metrics: Metric) -> tuple[JobRecord, list[Episode]]:
    record = evaluate(job, output=output, metrics=metrics)
    return record, read_episodes(next(output.glob(f"*/{record.job}/episodes.jsonl")))


@given(
    st.lists(st.one_of(st.just(float("nan")), st.floats(-1e6, 1e6)), min_size=1, max_size=8),
    st.sampled_from(sorted(NUMPYS)),
)
def test_the_steps_of_an_episode(values: list[float], reduce: Any) -> None:
    """What is missing is left out; row 0 is in another episode that knows more."""
    metric, env = MetricOfInfo("m", InfoMetric(info="key", reduce=reduce)), LongFailures(3, 1.0)
    metric.start(env, make_job())
    rows, flags = np.array([1]), np.zeros(3, bool)
    metric.reset(np.arange(3), None)
    metric.step(transition(np.arange(3), np.array([5.0, 1e9, -3.0]), flags))
    metric.reset(rows, None)  # an episode before must not count
    for value in values:
        metric.step(transition(rows, np.array([7.0, value, 8.0]), flags))
    found = metric.end(1, None)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.nan if np.isnan(values).all() else NUMPYS[reduce](values)
    assert found == (None if np.isnan(expected) else pytest.approx(expected))
    assert metric.end(0, None) == 5.0  # type: ignore[arg-type]


def transition(rows: Any, numbers: Any, flags: Any) -> Transition:
    step = Step(
        np.zeros((3, 1)), np.zeros(3), flags, flags, ~flags, flags.astype(np.int8), info={"key": numbers}
    )
    return Transition.of(rows, None, None, step)


@pytest.mark.parametrize("num_envs", [1, 4])
def test_from_the_info_to_a_threshold(tmp_path: Path, num_envs: int) -> None:
    record, episodes = run(
        tmp_path,
        job(
            {
                "best": {"info": "covered", "reduce": "max", "direction": "higher"},
                "worst_sum": {"info": "covered", "reduce": "sum", "over_episodes": "min"},
                "length": {"info": "done"},
            },
            num_envs,
            thresholds={"best": ">= 0.4", "worst_sum": "> 0"},
        ),
    )
    lengths = [e.length for e in episodes]
    assert [e.metrics["best"] for e in episodes] == [n / 10 for n in lengths]
    assert [e.metrics["length"] for e in episodes] == lengths
    assert [e.max_reward for e in episodes] == lengths
    assert record.metrics["best"] == pytest.approx(np.mean(lengths) / 10)
    assert record.metrics["worst_sum"] == pytest.approx(min(n * (n + 1) / 20 for n in lengths))
    assert record.metrics["max_reward"] == np.mean(lengths)
    assert [threshold.passed for threshold in record.thresholds] == [True, True]
    assert record.definitions["best"]["direction"] == "higher"


def test_a_rate(tmp_path: Path) -> None:
    told = {"far": {"info": "covered", "reduce": "min", "over_episodes": "rate"}}
    with pytest.raises(EvaluationError, match="a rate has 0 or 1 for each episode"):
        run(tmp_path, job(told))


def test_episodes_that_tell_nothing_have_no_value(tmp_path: Path) -> None:
    silent = {"options": {"make": {"silent": 2}}}
    record, episodes = run(
        tmp_path, job({"best": {"info": "covered", "reduce": "max"}}, 3, environment=silent)
    )
    values = [e.metrics["best"] for e in episodes]
    assert [value is None for value in values] == [(e.seed or 0) % 2 == 0 for e in episodes]
    assert record.metrics["best"] is None
    assert record.unmeasured["best"].startswith("not measured in ")


@pytest.mark.parametrize("autoreset", ["next_step", "same_step"])
def test_rows_that_reset_themselves(tmp_path: Path, autoreset: str) -> None:
    """The last number is that of the episode that ended, not the reset's."""
    environment = {"options": {"autoreset": autoreset}}
    metrics = {"last": {"info": "covered"}, "least": {"info": "covered", "reduce": "min"}}
    _, episodes = run(tmp_path, job(metrics, 3, environment=environment))
    assert [e.metrics["last"] for e in episodes] == [e.length / 10 for e in episodes]
    assert {e.metrics["least"] for e in episodes} == {0.1}


def test_a_misspelt_key_is_an_error_when_an_episode_ends(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"^metrics\.best\.info: .*'covred' \(did you mean 'covered'"):
        run(tmp_path, job({"best": {"info": "covred"}}))


class Seen(Metric):
    """The number of steps that told a number under ``key``."""

    name, watches_steps = "seen", True

    def __init__(self, key: str) -> None:
        self.info_keys = (key,)

    def start(self, env: Any, job: Job) -> None:
        self.count = np.zeros(env.num_envs)

    def reset(self, rows: Any, observation: Any) -> None:
        self.count[rows] = 0

    def step(self, transition: Transition) -> None:
        rows = transition.rows
        self.count[rows] += ~np.isnan(transition.info[self.info_keys[0]][rows])

    def end(self, row: int, episode: Episode) -> float:
        return float(self.count[row])


def test_a_metric_in_python_sees_what_it_asks_for(tmp_path: Path) -> None:
    """A key that only it names may be missing in all infos."""
    _, episodes = run(tmp_path, job({}, 2), Seen("covered"))
    assert [e.metrics["seen"] for e in episodes] == [e.length for e in episodes]
    _, episodes = run(tmp_path / "other", job({}, 2), Seen("nothing"))
    assert {e.metrics["seen"] for e in episodes} == {0}
