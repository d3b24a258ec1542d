"""Meta-World's scripted experts as a policy."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("metaworld")

from pytest_arena import EvaluationError, JobFileError, make_policy
from pytest_arena.policies.metaworld_expert import ExpertSettings, MetaworldExpert
from pytest_arena.policies.registry import validate_policy
from pytest_arena.simulators.mujoco.metaworld import MetaworldEnv
from tests.jobs import make_job


@pytest.fixture(scope="module")
def env() -> Iterator[MetaworldEnv]:
    env = MetaworldEnv("button-press-v3", num_envs=3, seed=7, max_episode_steps=200)
    yield env
    env.close()


def expert(env: MetaworldEnv, noise: float = 0.0) -> MetaworldExpert:
    return MetaworldExpert(ExpertSettings(noise=noise), env)


def test_it_solves_its_task_through_the_registry(env: MetaworldEnv) -> None:
    job = make_job(policy={"type": "metaworld_expert"})
    validate_policy(job, may_import=False)
    policy = make_policy(job, env)
    seeds = [1, 2, 3]
    observation = env.reset(seeds=seeds).observation
    policy.reset(seeds=seeds)
    reasons: dict[int, str] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the experts' own warnings are nobody's business
        while len(reasons) < 3:
            step = env.step(policy.act(observation))
            observation = step.observation
            reasons |= {end.env_idx: end.reason for end in step.ends}
    assert set(reasons.values()) == {"success"}
    assert policy.identity == {"expert": "button-press-v3"}


def test_actions_are_small_floats_within_limits(env: MetaworldEnv) -> None:
    observation = env.reset(seeds=[1, 2, 3]).observation
    kept = observation.copy()
    for noise in (0.0, 5.0):
        actions = expert(env, noise).act(observation)
        assert actions.shape == (3, 4)
        assert actions.dtype == np.float32
        assert np.abs(actions).max() <= 1.0
    assert np.array_equal(observation, kept)


def test_noise_comes_from_the_seed_of_the_row_alone(env: MetaworldEnv) -> None:
    observation = env.reset(seeds=[1, 1, 1]).observation
    quiet = expert(env).act(observation)
    policy = expert(env, 0.05)
    policy.reset(seeds=[5, 6, 5])
    first = [policy.act(observation) for _ in range(3)]
    assert not np.array_equal(first[0][0], quiet[0])
    assert not np.array_equal(first[0], first[1])
    for actions in first:
        assert np.array_equal(actions[0], actions[2])
        assert not np.array_equal(actions[0], actions[1])
    policy.reset(np.array([1]), [5])
    assert np.array_equal(policy.act(observation)[1], first[0][0])


def test_wrong_uses_are_refused(env: MetaworldEnv) -> None:
    elsewhere: Any = SimpleNamespace(num_envs=1)
    elsewhere.unwrapped = elsewhere
    with pytest.raises(EvaluationError, match="in the simulator metaworld only"):
        MetaworldExpert(ExpertSettings(), elsewhere)
    with pytest.raises(JobFileError, match=r"policy\.noise.*at least 0"):
        validate_policy(make_job(policy={"type": "metaworld_expert", "noise": -1.0}), may_import=False)
