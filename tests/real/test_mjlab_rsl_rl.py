"""A policy that rsl_rl trained in mjlab: the run's folder as mjlab's own script leaves it, and a job with it."""

from __future__ import annotations

import contextlib
import io
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

if find_spec("mjlab") is None or find_spec("rsl_rl") is None:
    pytest.skip("needs mjlab: pip install 'mjlab>=1.6'", allow_module_level=True)

import torch
from mjlab.envs import ManagerBasedRlEnv
from mjlab.rl import MjlabOnPolicyRunner, RslRlModelCfg, RslRlOnPolicyRunnerCfg, RslRlVecEnvWrapper
from mjlab.utils.os import dump_yaml

from pytest_arena import evaluate
from pytest_arena.policies.rsl_rl.policy import RslRlPolicy, RslRlSettings
from pytest_arena.simulators.mjlab import MjlabSimulator
from tests.jobs import make_job
from tests.real.mjlab_cart import cart_cfg

GAUSSIAN = {"class_name": "GaussianDistribution", "init_std": 1.0, "std_type": "scalar"}


def small(recurrent: bool) -> RslRlModelCfg:
    rnn: dict[str, Any] = {"rnn_type": "lstm", "rnn_hidden_dim": 8, "class_name": "RNNModel"}
    return RslRlModelCfg(
        hidden_dims=(16, 8),
        obs_normalization=True,
        distribution_cfg=GAUSSIAN,
        **(rnn if recurrent else {}),
    )


@pytest.fixture(scope="module", params=[False, True], ids=["mlp", "lstm"])
def run(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the runner, its environment and the folder of a run with one iteration."""
    folder = tmp_path_factory.mktemp("run")
    agent = RslRlOnPolicyRunnerCfg(
        actor=small(request.param), critic=small(request.param), clip_actions=0.7, logger="tensorboard"
    )
    agent.critic.distribution_cfg = None
    agent.obs_groups = {"actor": ("actor",), "critic": ("actor",)}
    agent.num_steps_per_env, agent.algorithm.num_mini_batches = 4, 1
    cfg = cart_cfg()
    cfg.scene.num_envs = 4
    env = RslRlVecEnvWrapper(ManagerBasedRlEnv(cfg, device="cpu"), clip_actions=0.7)
    with contextlib.redirect_stdout(io.StringIO()):
        runner = MjlabOnPolicyRunner(env, asdict(agent), str(folder), "cpu")
        runner.learn(1)
    dump_yaml(folder / "params" / "agent.yaml", asdict(agent))
    yield runner, env, folder
    env.close()


def checkpoint(folder: Path) -> str:
    (found,) = folder.glob("model_*.pt")
    return str(found)


def test_the_runners_own_actions_to_the_bit(run: Any) -> None:
    runner, env, folder = run
    job = make_job(
        simulator="mjlab",
        environment={"id": "tests.real.mjlab_cart:cart_cfg", "num_envs": 4, "device": "cpu"},
        policy={"type": "rsl_rl", "checkpoint": checkpoint(folder)},
    )
    made = MjlabSimulator().make(job)
    policy = RslRlPolicy(RslRlSettings(checkpoint=checkpoint(folder), batch="all"), made)
    theirs = runner.get_inference_policy(device="cpu")
    theirs.reset()
    policy.reset()
    for _ in range(3):
        observation = env.get_observations()
        with torch.inference_mode():
            expected = theirs(observation).clamp(-0.7, 0.7)
        actions = policy.act(dict(observation.items()))
        assert torch.equal(actions, expected)
        env.step(expected)
    made.close()


def test_a_job_with_the_run(run: Any, tmp_path: Path) -> None:
    *_, folder = run
    record = evaluate(
        make_job(
            simulator="mjlab",
            environment={"id": "tests.real.mjlab_cart:cart_cfg", "num_envs": 2, "device": "cpu"},
            policy={"type": "rsl_rl", "checkpoint": checkpoint(folder)},
            rollout={"episodes": 3},
        ),
        output=tmp_path,
    )
    assert record.status == "completed"
    assert record.identity["policy"]["config"] == str(folder / "params" / "agent.yaml")
