"""Makes the files that the lines of docs/policies.md name: ``python -m tests.policy_files FOLDER``.

In a process of its own: torch and onnxruntime load once a process, and tests that run pytest on itself forget
modules.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium
import yaml

from tests.inner import ROOT

TABLE = (ROOT / "docs" / "policies.md").read_text().partition("## I have")[2].partition("\n## ")[0]
LINES: list[dict[str, Any]] = [
    yaml.safe_load(line)["policy"] for line in re.findall(r"`(policy: \{.*?\})`", TABLE)
]
PENDULUM, CART_POLE = "Pendulum-v1", "CartPole-v1"
NETWORK = """
import torch

def MLP(width):
    return torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.Linear(width, 1))
"""


def environment_of(line: dict[str, Any]) -> str:
    """Return the environment that the line's policy is made for."""
    return CART_POLE if line["type"] == "sb3" and "normalize" not in line else PENDULUM


def sb3(folder: Path, line: dict[str, Any]) -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    env: Any = DummyVecEnv([lambda: gymnasium.make(environment_of(line))])
    if "normalize" in line:
        env = VecNormalize(env)
        env.reset()
        env.save(folder / line["normalize"])
    model = PPO("MlpPolicy", env, n_steps=8, policy_kwargs={"net_arch": [8]}, device="cpu")
    model.save(folder / line["checkpoint"])


def rsl_rl(folder: Path, line: dict[str, Any]) -> None:
    import torch

    from tests.rsl_rl_runs import OneRow, make_runner, save_run

    checkpoint = folder / line["checkpoint"]
    runner = make_runner("mlp", OneRow(PENDULUM))
    if checkpoint.parent.name != "exported":
        save_run(checkpoint.parent, runner, "mlp")
        return
    checkpoint.parent.mkdir(parents=True)
    torch.jit.save(torch.jit.script(runner.get_inference_policy(device="cpu").as_jit()), checkpoint)


def onnx(folder: Path, line: dict[str, Any]) -> None:
    from tests.onnx_models import linear

    linear(folder / line["checkpoint"], 3, 1, "batch")


def torch_program(folder: Path, line: dict[str, Any]) -> None:
    import torch

    if "module" not in line:
        rows = ({0: torch.export.Dim("rows")},)
        module = torch.nn.Linear(3, 1).eval()
        program = torch.export.export(module, (torch.zeros(2, 3),), dynamic_shapes=rows)
        torch.export.save(program, folder / line["checkpoint"])
        return
    from safetensors.torch import save_file

    (folder / "my_networks.py").write_text(NETWORK)
    weights = torch.nn.Sequential(torch.nn.Linear(3, 64), torch.nn.Linear(64, 1)).state_dict()
    save_file(weights, folder / line["checkpoint"])


MAKERS: dict[str, tuple[str, Callable[[Path, dict[str, Any]], None]]] = {
    "sb3": ("stable_baselines3", sb3),
    "rsl_rl": ("rsl_rl", rsl_rl),
    "onnx": ("onnx", onnx),
    "torch": ("safetensors", torch_program),
}
"""Type of a policy -> the package that its file is made with, and how."""


def main(folder: Path) -> None:
    """Make the files of all lines whose packages are installed."""
    for line in LINES:
        package, make = MAKERS.get(line["type"], ("", None))
        if make is not None and find_spec(package) is not None:
            make(folder, line)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
