"""Training runs of rsl_rl that have not trained: a runner, its checkpoint and its configuration."""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import yaml

pytest.importorskip("rsl_rl")

import torch
from rsl_rl.env import VecEnv
from rsl_rl.runners import OnPolicyRunner
from tensordict import TensorDict

from tests.policy_runs import STEPS

SMALL = {"hidden_dims": [16, 8], "activation": "elu"}
GAUSSIAN = {"class_name": "GaussianDistribution", "init_std": 1.0, "std_type": "scalar"}
ACTORS: dict[str, dict[str, Any]] = {
    "mlp": {"class_name": "MLPModel", **SMALL, "obs_normalization": True, "distribution_cfg": GAUSSIAN},
    "lstm": {
        "class_name": "RNNModel",
        **SMALL,
        "distribution_cfg": {**GAUSSIAN, "std_type": "log"},
        "rnn_type": "lstm",
        "rnn_hidden_dim": 8,
        "rnn_num_layers": 2,
    },
    "gru": {
        "class_name": "RNNModel",
        **SMALL,
        "obs_normalization": True,
        "distribution_cfg": {"class_name": "HeteroscedasticGaussianDistribution"},
        "rnn_type": "gru",
        "rnn_hidden_dim": 8,
        "rnn_num_layers": 1,
    },
}
ACTORS["cnn"] = {
    "class_name": "CNNModel",
    **SMALL,
    "obs_normalization": True,
    "distribution_cfg": GAUSSIAN,
    "cnn_cfg": {"output_channels": [2], "kernel_size": 3, "activation": "relu"},
}


class OneRow(VecEnv):
    """An environment of gymnasium with one row, whose episodes begin with given seeds, as rsl_rl wants it."""

    def __init__(self, env_id: str, seeds: Sequence[int] = (), clip: float | None = None) -> None:
        self.env = gymnasium.make(env_id, max_episode_steps=STEPS)
        self.num_envs, self.device, self.cfg, self.clip = 1, "cpu", {}, clip
        self.num_actions = int(self.env.action_space.shape[0])
        self.max_episode_length, self.episode_length_buf = STEPS, torch.zeros(1, dtype=torch.long)
        self.seeds, self.rewards = itertools.chain(seeds, itertools.count()), []
        self.begin()

    def begin(self) -> None:
        self.rewards.append([])
        self.observation, _ = self.env.reset(seed=next(self.seeds))

    def get_observations(self) -> TensorDict:
        return TensorDict({"policy": torch.as_tensor(self.observation)[None].float()}, batch_size=[1])

    def step(self, actions: torch.Tensor) -> Any:
        given = actions if self.clip is None else actions.clamp(-self.clip, self.clip)
        self.observation, reward, terminated, truncated, _ = self.env.step(given[0].numpy())
        self.rewards[-1].append(float(reward))
        done = terminated or truncated
        if done:
            self.begin()
        return self.get_observations(), torch.tensor([float(reward)]), torch.tensor([int(done)]), {}


class Pictures(OneRow):
    """Shows an image, too."""

    def __init__(self) -> None:
        super().__init__("Pendulum-v1")

    def get_observations(self) -> TensorDict:
        seen = super().get_observations()
        return TensorDict({"policy": seen["policy"], "camera": torch.zeros(1, 1, 8, 8)}, batch_size=[1])


def make_runner(kind: str, env: VecEnv) -> OnPolicyRunner:
    torch.manual_seed(5)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        groups = list(env.get_observations().keys())
        runner = OnPolicyRunner(env, config_of(kind, groups=groups), log_dir=None, device="cpu")
        actor = runner.alg.get_policy().train()
        actor.update_normalization(TensorDict({"policy": torch.randn(50, 3) * 2 + 0.5}, batch_size=[50]))
    return runner


def config_of(kind: str, clip: float | None = None, groups: Sequence[str] = ("policy",)) -> dict[str, Any]:
    return {
        "class_name": "OnPolicyRunner",
        "seed": 42,
        "num_steps_per_env": 4,
        "save_interval": 50,
        "obs_groups": {"actor": list(groups), "critic": ["policy"]},
        "clip_actions": clip,
        "actor": copy.deepcopy(ACTORS[kind]),
        "critic": {"class_name": "MLPModel", **SMALL},
        "algorithm": {"class_name": "PPO"},
    }


def save_run(
    folder: Path,
    runner: OnPolicyRunner,
    kind: str,
    clip: float | None = None,
    groups: Sequence[str] = ("policy",),
) -> Path:
    """Write what a training run leaves; returns its checkpoint."""
    (folder / "params").mkdir(parents=True, exist_ok=True)
    config = {**config_of(kind, clip, groups), "load": ("a", 1), "device": torch.device("cpu").type}
    (folder / "params" / "agent.yaml").write_text(yaml.dump(config, sort_keys=False))
    torch.save({**runner.alg.save(), "iter": 0, "infos": {"env_state": {"steps": 3}}}, folder / "model_0.pt")
    return folder / "model_0.pt"


def their_rewards(runner: OnPolicyRunner, env: OneRow, episodes: int) -> list[list[float]]:
    """Return all rewards of the loop that plays a policy: as in Isaac Lab's and mjlab's ``play.py``."""
    policy = runner.get_inference_policy(device="cpu")
    observation = env.get_observations()
    while len(env.rewards) <= episodes:
        with torch.inference_mode():
            observation, _, dones, _ = env.step(policy(observation))
            policy.reset(dones)
    return env.rewards[:episodes]
