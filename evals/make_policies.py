"""Make the small learned policies of these evaluations: clones of Meta-World's experts.

    python evals/make_policies.py            # writes evals/policies/*.pt, in about a minute
    python evals/make_policies.py --measure  # and prints how often each one succeeds

Some clones are good and some are poor, on purpose: thresholds, gates and comparisons need both. The
demonstrations come from other goals than the evaluations use. One seed gives the same weights again on the
same machine and versions. Needs ``pip install 'pytest-arena[metaworld,torch]'``.
"""

from __future__ import annotations

import argparse
import io
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pytest_arena import Policy, episode_seeds
from pytest_arena.policies.metaworld_expert import ExpertSettings, MetaworldExpert
from pytest_arena.policies.torch_module import TorchModule, TorchSettings
from pytest_arena.simulators.mujoco.metaworld import MetaworldEnv

ROWS = 8
NOISE = 0.1
"""Standard deviation of the noise on the demonstrator's actions: it shows how to recover."""


@dataclass(frozen=True)
class Recipe:
    """One policy: which task, and from how many demonstrations."""

    task: str
    demonstrations: int


RECIPES = {
    "pick_place": Recipe("pick-place-v3", 30),
    "button_press": Recipe("button-press-v3", 5),
    "door_open": Recipe("door-open-v3", 2),
    "reach": Recipe("reach-v3", 20),
}


class Clone(nn.Module):
    """Observations (N, 39) to actions (N, 4), with the normalisation of observations inside."""

    def __init__(self, observations: torch.Tensor, width: int = 64) -> None:
        super().__init__()
        self.register_buffer("mean", observations.mean(dim=0))
        # Entries that hardly change in the demonstrations must not be blown up into noise.
        self.register_buffer("scale", observations.std(dim=0).clamp_min(1e-2))
        self.layers = nn.Sequential(
            nn.Linear(observations.shape[1], width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, 4),
        )

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Return actions, not limited to [-1, 1]."""
        return self.layers((observation - self.mean) / self.scale)


def demonstrate(recipe: Recipe, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return observations (M, 39) and the expert's actions (M, 4) in them."""
    env = MetaworldEnv(recipe.task, seed=seed)
    expert = MetaworldExpert(ExpertSettings(), env)
    generator = np.random.default_rng(seed)
    observations, actions = [], []
    for episode in range(recipe.demonstrations):
        env_seed, policy_seed = episode_seeds(seed, 0, episode)
        observation, ended = env.reset(seeds=[env_seed]).observation, False
        expert.reset(seeds=[policy_seed])
        while not ended:
            action = expert.act(observation)
            observations.append(observation[0])
            actions.append(action[0])
            step = env.step(action + NOISE * generator.standard_normal(action.shape))
            observation, ended = step.observation, bool(step.ends)
    env.close()
    return np.array(observations, np.float32), np.array(actions, np.float32)


def clone(recipe: Recipe, seed: int, epochs: int = 400, batch: int = 256) -> Clone:
    """Fit a module to the expert's demonstrations."""
    torch.manual_seed(seed)
    observations, actions = map(torch.from_numpy, demonstrate(recipe, seed))
    module = Clone(observations)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(observations)).split(batch):
            loss = nn.functional.mse_loss(module(observations[rows]), actions[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return module.eval()


def save(module: Clone, path: Path) -> None:
    """Write the module as TorchScript, which every supported version of torch reads."""
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module), written)
    # Its debug notes name the folders of the machine that wrote it; nobody else has a use for them.
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            if not name.endswith(".debug_pkl"):
                target.writestr(zipfile.ZipInfo(name), source.read(name))


def success_rate(env: MetaworldEnv, policy: Policy, seed: int, episodes: int) -> float:
    """Return the share of the job's first *episodes* episodes that succeed."""
    waiting, successes = iter([episode_seeds(seed, 0, episode) for episode in range(episodes)]), 0
    observation = np.zeros((env.num_envs, 39))
    free, running = list(range(env.num_envs)), 0
    while True:
        for row, (env_seed, policy_seed) in zip(free, waiting, strict=False):
            rows = np.array([row])
            observation = env.reset(rows, [env_seed]).observation
            policy.reset(rows, [policy_seed])
            running += 1
        if not running:
            return successes / episodes
        step = env.step(policy.act(observation))
        observation = step.observation
        free = [end.env_idx for end in step.ends]
        running -= len(free)
        successes += sum(end.reason == "success" for end in step.ends)


def measure(recipe: Recipe, path: Path, seed: int, episodes: int) -> float:
    """Return the success rate of a stored policy."""
    env = MetaworldEnv(recipe.task, num_envs=ROWS, seed=seed)
    rate = success_rate(env, TorchModule(TorchSettings(checkpoint=str(path)), env), seed, episodes)
    env.close()
    return rate


def main() -> None:
    """Make, store and, on request, measure the policies."""
    parser = argparse.ArgumentParser(description="Clone Meta-World's experts into small policies.")
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(RECIPES)}; default: all")
    parser.add_argument("--seed", type=int, default=42, help="of goals, noise and training (42)")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "policies")
    parser.add_argument("--measure", action="store_true", help="print the success rates")
    parser.add_argument("--episodes", type=int, default=50, help="episodes of the measurement (50)")
    parser.add_argument("--measure-seed", type=int, default=7, help="job seed of the measurement (7)")
    options = parser.parse_args()
    if unknown := set(options.names) - set(RECIPES):
        parser.error(f"unknown policy {', '.join(sorted(unknown))}; known: {', '.join(RECIPES)}")

    torch.set_num_threads(1)  # sums in one order, whatever the machine
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.names or RECIPES:
        path = options.output / f"{name}.pt"
        save(clone(RECIPES[name], options.seed), path)
        line = f"{path}: {path.stat().st_size / 1000:.0f} kB"
        if options.measure:
            rate = measure(RECIPES[name], path, options.measure_seed, options.episodes)
            line += f", succeeds in {rate:.0%} of {options.episodes} episodes (seed {options.measure_seed})"
        print(line, flush=True)


if __name__ == "__main__":
    main()
