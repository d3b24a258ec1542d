"""Policies of Stable-Baselines3 beside its own `evaluate_policy`: the same episodes, to the bit."""

from __future__ import annotations

import functools
import itertools
import json
import operator
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from pytest_arena import Episode
from pytest_arena.rollout.schedule import episode_seeds
from tests.policy_runs import SEED, STEPS, measured, one_torch_thread, run_policy

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")

import sb3_contrib
import stable_baselines3
import torch
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

pytestmark = pytest.mark.real  # torch

SMALL = {"net_arch": [16]}


class Reach(gymnasium.Env[Any, Any]):
    """A goal that is drawn, and observations in three parts."""

    action_space = gymnasium.spaces.Box(-1, 1, (2,))
    observation_space = gymnasium.spaces.Dict(
        {name: gymnasium.spaces.Box(-9, 9, (2,)) for name in ("observation", "achieved_goal", "desired_goal")}
    )

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at, self.goal = self.np_random.normal(size=(2, 2)).astype(np.float32)
        return self.seen(), {}

    def step(self, action: Any) -> Any:
        self.at = np.clip(self.at + 0.1 * action, -9, 9).astype(np.float32)
        return self.seen(), float(self.compute_reward(self.at, self.goal, {})), False, False, {}

    def seen(self) -> dict[str, Any]:
        return {"observation": self.at * 2, "achieved_goal": self.at, "desired_goal": self.goal}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return -np.linalg.norm(achieved - desired, axis=-1)


gymnasium.register("arena/Reach-v0", Reach, max_episode_steps=STEPS)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with one_torch_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Watched(gymnasium.Wrapper):  # type: ignore[type-arg]
    """Begins its episodes with given seeds, and keeps all rewards."""

    def __init__(self, env: Any, seeds: list[int]) -> None:
        super().__init__(env)
        self.seeds, self.rewards = itertools.chain(seeds, itertools.count()), []

    def reset(self, **kwargs: Any) -> Any:
        self.rewards.append([])
        return super().reset(seed=next(self.seeds), options=kwargs.get("options"))

    def step(self, action: Any) -> Any:
        result = super().step(action)
        self.rewards[-1].append(float(result[1]))
        return result


def make_model(kind: str, env: Any) -> Any:
    sb3, contrib = stable_baselines3, sb3_contrib
    makers: dict[str, Callable[[], Any]] = {
        "PPO": lambda: sb3.PPO("MlpPolicy", env, policy_kwargs={**SMALL, "activation_fn": torch.nn.ReLU}),
        "gSDE": lambda: sb3.PPO("MlpPolicy", env, policy_kwargs={**SMALL}, use_sde=True),
        "A2C": lambda: sb3.A2C("MlpPolicy", env, policy_kwargs={**SMALL}),
        "SAC": lambda: sb3.SAC("MlpPolicy", env, policy_kwargs={**SMALL}),
        "SAC with gSDE": lambda: sb3.SAC("MlpPolicy", env, policy_kwargs={**SMALL}, use_sde=True),
        "DDPG": lambda: sb3.DDPG("MlpPolicy", env, policy_kwargs={**SMALL}),
        "CrossQ": lambda: contrib.CrossQ("MlpPolicy", env, policy_kwargs={**SMALL}),
        "TD3": lambda: sb3.TD3("MlpPolicy", env, policy_kwargs={**SMALL}),
        "DQN": lambda: sb3.DQN("MlpPolicy", env, policy_kwargs={**SMALL}),
        "HER": lambda: sb3.SAC(
            "MultiInputPolicy",
            env,
            policy_kwargs={**SMALL},
            replay_buffer_class=sb3.HerReplayBuffer,
            buffer_size=100,
        ),
        "RecurrentPPO": lambda: contrib.RecurrentPPO(
            "MlpLstmPolicy", env, policy_kwargs={**SMALL, "lstm_hidden_size": 8, "n_lstm_layers": 2}
        ),
        "TQC": lambda: contrib.TQC("MlpPolicy", env, policy_kwargs={**SMALL}),
        "QRDQN": lambda: contrib.QRDQN("MlpPolicy", env, policy_kwargs={**SMALL}),
        "TRPO": lambda: contrib.TRPO("MlpPolicy", env, policy_kwargs={**SMALL}),
        "ARS": lambda: contrib.ARS("MlpPolicy", env, policy_kwargs={**SMALL}),
    }
    torch.manual_seed(7)
    model = makers[kind]()
    with torch.no_grad():  # the last layers of a fresh policy all but give zeros
        for tensor in model.policy.parameters():
            tensor.add_(torch.randn_like(tensor) * 0.3)
    return model


def saved(kind: str, env_id: str, folder: Path) -> tuple[Any, Path]:
    model = make_model(kind, DummyVecEnv([lambda: gymnasium.make(env_id)]))
    model.exploration_rate = 0.3  # of DQN, when its training has ended; others have none
    model.save(folder / "policy.zip")
    return model, folder / "policy.zip"


def ours(env_id: str, folder: Path, num_envs: int = 1, **policy: Any) -> list[Episode]:
    return run_policy(folder, env_id, {"type": "sb3", **policy}, num_envs)


def theirs(model: Any, env_id: str, seeds: list[int], statistics: Path | None = None) -> Any:
    """Return returns and lengths as `evaluate_policy` has them, and all rewards."""
    env = Watched(gymnasium.make(env_id, max_episode_steps=STEPS), seeds)
    vector: Any = DummyVecEnv([lambda: env])
    if statistics is not None:
        vector = VecNormalize.load(str(statistics), vector)
        vector.training = vector.norm_reward = False
    returns, lengths = evaluate_policy(
        model, vector, n_eval_episodes=len(seeds), return_episode_rewards=True, warn=False
    )
    return returns, lengths, env.rewards[: len(seeds)]


def require_equal(episodes: list[Episode], evaluated: Any) -> None:
    returns, lengths, rewards = evaluated
    assert [episode.length for episode in episodes] == lengths
    assert [episode.return_ for episode in episodes] == [
        functools.reduce(operator.add, r, 0.0) for r in rewards
    ]
    # Stable-Baselines3 adds the same rewards, after it has rounded each of them to single precision.
    assert returns == [functools.reduce(operator.add, map(np.float32, r), np.float64(0)) for r in rewards]
    assert len({episode.return_ for episode in episodes}) > 1


CASES = [
    ("PPO", "Pendulum-v1"),
    ("A2C", "CartPole-v1"),
    ("SAC", "Pendulum-v1"),
    ("TD3", "Pendulum-v1"),
    ("DDPG", "Pendulum-v1"),
    ("CrossQ", "Pendulum-v1"),
    ("SAC with gSDE", "Pendulum-v1"),
    ("DQN", "CartPole-v1"),
    ("HER", "arena/Reach-v0"),
    ("RecurrentPPO", "Pendulum-v1"),
    ("TQC", "Pendulum-v1"),
    ("QRDQN", "CartPole-v1"),
    ("TRPO", "Pendulum-v1"),
    ("ARS", "Pendulum-v1"),
]


@pytest.mark.parametrize(("kind", "env_id"), CASES, ids=[kind for kind, _ in CASES])
def test_equal_rewards_and_lengths(tmp_path: Path, kind: str, env_id: str) -> None:
    model, path = saved(kind, env_id, tmp_path)
    episodes = ours(env_id, tmp_path, checkpoint=str(path))
    require_equal(episodes, theirs(model, env_id, [episode.seed for episode in episodes]))
    three = ours(env_id, tmp_path, num_envs=3, checkpoint=str(path))
    assert measured(three) == measured(episodes)


def test_statistics_of_vec_normalize(tmp_path: Path) -> None:
    vector = VecNormalize(DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")]), clip_obs=2.0)
    vector.obs_rms.update(np.random.default_rng(0).normal(0.3, 0.7, size=(50, 3)))
    model = make_model("PPO", vector)
    model.save(tmp_path / "policy.zip")
    vector.save(str(tmp_path / "statistics.pkl"))
    files = {"checkpoint": str(tmp_path / "policy.zip"), "normalize": str(tmp_path / "statistics.pkl")}
    episodes = ours("Pendulum-v1", tmp_path, **files)
    seeds = [episode.seed for episode in episodes]
    require_equal(episodes, theirs(model, "Pendulum-v1", seeds, tmp_path / "statistics.pkl"))
    (record,) = tmp_path.glob("runs1/*Z-*/job/record.json")
    identity = json.loads(record.read_text())["identity"]["policy"]
    assert identity["normalize"] == files["normalize"]


def test_statistics_of_a_dict(tmp_path: Path) -> None:
    env_id = "arena/Reach-v0"
    vector = VecNormalize(DummyVecEnv([lambda: gymnasium.make(env_id)]), norm_obs_keys=["observation"])
    vector.obs_rms["observation"].update(np.random.default_rng(0).random((50, 2)))
    model = make_model("HER", vector)
    model.save(tmp_path / "policy.zip")
    vector.save(str(tmp_path / "statistics.pkl"))
    episodes = ours(
        env_id,
        tmp_path,
        checkpoint=str(tmp_path / "policy.zip"),
        normalize=str(tmp_path / "statistics.pkl"),
    )
    seeds = [episode.seed for episode in episodes]
    require_equal(episodes, theirs(model, env_id, seeds, tmp_path / "statistics.pkl"))


@pytest.mark.parametrize("kind", ["PPO", "SAC", "RecurrentPPO"])
def test_sampled_actions_are_those_of_the_episodes_seed(tmp_path: Path, kind: str) -> None:
    model, path = saved(kind, "Pendulum-v1", tmp_path)
    before = torch.get_rng_state()
    episodes = ours("Pendulum-v1", tmp_path, checkpoint=str(path), deterministic=False)
    assert torch.equal(torch.get_rng_state(), before)
    for episode in episodes:
        env = Watched(gymnasium.make("Pendulum-v1", max_episode_steps=STEPS), [episode.seed])
        torch.manual_seed(episode_seeds(SEED, 0, episode.episode)[1])
        vector = DummyVecEnv([lambda env=env: env])
        _, lengths = evaluate_policy(
            model, vector, 1, deterministic=False, return_episode_rewards=True, warn=False
        )
        assert lengths == [episode.length]
        assert functools.reduce(operator.add, env.rewards[0], 0.0) == episode.return_


@pytest.mark.parametrize("kind", ["PPO", "gSDE", "SAC with gSDE", "DQN"])
def test_sampled_episodes_do_not_depend_on_the_number_of_rows(tmp_path: Path, kind: str) -> None:
    env_id = "CartPole-v1" if kind == "DQN" else "Pendulum-v1"
    _, path = saved(kind, env_id, tmp_path)
    settings = {"checkpoint": str(path), "deterministic": False}
    one, three = (ours(env_id, tmp_path, num_envs=n, **settings) for n in (1, 3))
    certain = ours(env_id, tmp_path, num_envs=2, checkpoint=str(path))
    assert measured(one) == measured(three)
    assert measured(one) != measured(certain)
