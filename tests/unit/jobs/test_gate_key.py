"""The key ``gate``: its budget is the job's episodes, and what the command line makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_arena import Job, JobFileError, load_jobs
from pytest_arena.evaluation.judge import judge
from pytest_arena.jobs.overrides import parse_override
from tests.jobs import make_job
from tests.unit.evaluation.test_judge import record


def load(tmp_path: Path, *overrides: str, defaults: Any = None, **job: Any) -> Job:
    base = {
        "simulator": "gymnasium",
        "environment": {"id": "CartPole-v1"},
        "policy": {"type": "zero"},
        "rollout": {"episodes": 20},
    }
    file = tmp_path / "jobs.yaml"
    file.write_text(yaml.safe_dump({"defaults": {**base, **(defaults or {})}, "jobs": {"job": job}}))
    (found,) = load_jobs(file, [parse_override(text) for text in overrides])
    return found


def test_defaults() -> None:
    gate = make_job(gate={"episodes_max": 50}).gate
    assert gate is not None
    assert (gate.confidence, gate.alpha, gate.beta) == (0.95, 0.05, None)
    assert (gate.look_every, gate.stop_early, gate.inconclusive, gate.method) == (
        10,
        True,
        "fail",
        "spending",
    )


def test_the_budget_takes_the_place_of_the_episodes(tmp_path: Path) -> None:
    made = load(tmp_path, gate={"episodes_max": 200})
    assert made.rollout.episodes == 200
    assert made.wanted_episodes == range(200)
    assert Job.model_validate(made.config()).config() == made.config()


def test_the_episodes_are_the_budget_where_none_is_given(tmp_path: Path) -> None:
    made = load(tmp_path, gate={"confidence": 0.9})
    assert made.gate is not None
    assert (made.gate.episodes_max, made.rollout.episodes) == (20, 20)


def test_a_budget_is_enough_to_say_how_long() -> None:
    made = Job.model_validate(
        {**make_job().model_dump(exclude={"rollout", "gate"}), "gate": {"episodes_max": 30}}
    )
    assert made.rollout.episodes == 30


@pytest.mark.parametrize("text", ["rollout.episodes=2", "rollout={episodes: 2}", "job:rollout.steps=50"])
@pytest.mark.parametrize("rollout", [{}, {"episodes": None}], ids=["both", "budget-only"])
def test_another_limit_on_the_command_line_takes_the_gate_away_and_says_so(
    tmp_path: Path, text: str, rollout: Any
) -> None:
    made = load(tmp_path, text, gate={"episodes_max": 200}, rollout=rollout)
    assert made.gate is None
    assert (made.rollout.episodes, made.rollout.steps) in ((2, None), (None, 50))
    noted = judge(made, [], record())
    assert noted.notes[0] == f"not gated: --arena-set {text} takes the place of its budget"


def test_other_overrides_leave_the_gate(tmp_path: Path) -> None:
    made = load(tmp_path, "rollout.timeout=5", "gate.episodes_max=50", gate={"episodes_max": 200})
    assert made.gate is not None
    assert (made.gate.episodes_max, made.rollout.episodes) == (50, 50)
    assert load(tmp_path, "gate=null", gate={"episodes_max": 200}).rollout.episodes == 20
    noted = judge(made, [], record())
    assert noted.notes == ()


def test_a_shard_is_judged_with_the_whole_job() -> None:
    made = make_job(thresholds={"success_rate": ">= 0.8"}, gate={"episodes_max": 40}, rollout={"shards": 2})
    assert made.as_run == made
    part = made.shards()[1]
    assert part.wanted_episodes == part.as_run.wanted_episodes == range(20, 40)
    assert (part.as_run.gate, part.as_run.thresholds) == (None, {})


@pytest.mark.parametrize("key", ["gate", "regression"])
def test_a_bare_key_is_not_dropped_without_a_word(tmp_path: Path, key: str) -> None:
    """``gate:`` with nothing behind it looks like a gate with its defaults."""
    text = (
        "jobs:\n  reach:\n    simulator: gymnasium\n    environment: {id: CartPole-v1}\n"
        "    policy: {type: zero}\n    rollout: {episodes: 50}\n"
        f"    thresholds: {{success_rate: '>= 0.8'}}\n    {key}:\n"
    )
    path = tmp_path / "jobs.yaml"
    path.write_text(text)
    with pytest.raises(JobFileError, match=rf"jobs\.reach\.{key}: "):
        load_jobs(path)
    path.write_text(f"defaults: {{{key}: {{}}}}\n{text}")
    assert getattr(load_jobs(path)[0], key) is None
