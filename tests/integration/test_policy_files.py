"""Job files with policies from files: equal episodes with one row and with three, of each family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Suite

pytest.importorskip("stable_baselines3")
pytest.importorskip("rsl_rl")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

import stable_baselines3
import torch

from tests.onnx_models import counting
from tests.rsl_rl_runs import OneRow, make_runner, save_run

OWN = """
import torch


class MLP(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.Tanh(), torch.nn.Linear(width, 1))

    def forward(self, x):
        return self.layers(x)
"""


def policies(folder: Path) -> dict[str, dict[str, Any]]:
    """Make a small policy of each family; returns name -> section of a job."""
    torch.manual_seed(0)
    stable_baselines3.PPO("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [8]}).save(
        folder / "sb3.zip"
    )
    save_run(folder / "run", make_runner("lstm", OneRow("Pendulum-v1")), "lstm")
    counting(folder / "policy.onnx", 3, 1)
    layers = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    torch.save(
        {f"layers.{name}": value for name, value in layers.state_dict().items()}, folder / "weights.pt"
    )
    (folder / "own_networks.py").write_text(OWN)
    own = {"module": "own_networks:MLP", "kwargs": {"width": 8}, "checkpoint": "weights.pt"}
    return {
        "sb3": {"type": "sb3", "checkpoint": "sb3.zip"},
        "sampled": {"type": "sb3", "checkpoint": "sb3.zip", "deterministic": False},
        "rsl_rl": {"type": "rsl_rl", "checkpoint": "run/model_0.pt"},
        "onnx": {"type": "onnx", "checkpoint": "policy.onnx"},
        "torch": {"type": "torch", **own, "observation": {"x": {"from": "."}}},
    }


def test_equal_episodes_with_one_row_and_three(suite: Suite) -> None:
    made = policies(suite.path)
    environment = {"id": "Pendulum-v1", "max_episode_steps": 15}
    jobs = {
        f"{name}-{rows}": {"environment": {**environment, "num_envs": rows}, "policy": policy}
        for name, policy in made.items()
        for rows in (1, 3)
    }
    jobs["forgotten"] = {
        "environment": environment,
        "policy": {"type": "sb3", "checkpoint": "run/model_0.pt"},
    }
    suite.jobs(jobs, environment={}, rollout={"episodes": 4})
    suite.test()
    suite.run().assert_outcomes(passed=2 * len(made), errors=1)
    for name in made:
        one, three = (suite.episodes(f"{name}-{rows}") for rows in (1, 3))
        assert [(e["return"], e["length"]) for e in one] == [(e["return"], e["length"]) for e in three]
        assert len({e["return"] for e in one}) == 4
        record = suite.record(f"{name}-3")
        assert record["reproducible"] is True
        assert record["identity"]["policy"]["batch"] == "single"
    assert "use type: rsl_rl" in suite.record("forgotten")["error"]["message"]
