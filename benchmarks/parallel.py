"""What two workers gain: ``pytest -n 2`` over ``-n 1``, against two bare processes over one.

    python benchmarks/parallel.py [--jobs 6] [--episodes 60] [--repetitions 3]

The bare processes run the same Meta-World episodes with the same expert in a plain loop and share the jobs
evenly; what two of them gain over one is all that the machine has to give. The runs take turns, the figures
are medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

TARGET = 0.9
TASK = "reach-v3"

BARE = """
import sys
import numpy as np
from pytest_arena.policies.metaworld_expert import ExpertSettings, MetaworldExpert
from pytest_arena import episode_seeds
from pytest_arena.simulators.mujoco.metaworld import MetaworldEnv

episodes = int(sys.argv[1])
for seed in map(int, sys.argv[2:]):
    env = MetaworldEnv("{task}", num_envs=1, seed=seed, terminate_on_success=False, max_episode_steps=200)
    policy = MetaworldExpert(ExpertSettings(), env)
    for episode in range(episodes):
        environment_seed, policy_seed = episode_seeds(seed, 0, episode)
        observation = env.reset(None, [environment_seed]).observation
        policy.reset(None, [policy_seed])
        while True:
            step = env.step(policy.act(observation))
            observation = step.observation
            if step.ends:
                break
    env.close()
"""

TEST = """
import pytest

@pytest.mark.arena("jobs.json")
def test_it(arena_rollout):
    arena_rollout()
"""


def wall(commands: Sequence[Sequence[str]], folder: Path) -> float:
    """Return the seconds until all *commands*, started together, have ended well."""
    began = time.perf_counter()
    running = [subprocess.Popen(c, cwd=folder, stdout=subprocess.DEVNULL) for c in commands]
    statuses = [process.wait() for process in running]
    if any(statuses):
        raise SystemExit(f"a contestant failed: {statuses}")
    return time.perf_counter() - began


def contestants(jobs: int, episodes: int) -> dict[str, list[list[str]]]:
    """Return name -> the commands that run at the same time."""
    seeds = [str(seed) for seed in range(jobs)]
    bare = [sys.executable, "-c", BARE.format(task=TASK), str(episodes)]
    suite = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    return {
        "bare, 1 process": [[*bare, *seeds]],
        "bare, 2 processes": [[*bare, *seeds[0::2]], [*bare, *seeds[1::2]]],
        "pytest -n 1": [[*suite, "-n", "1"]],
        "pytest -n 2": [[*suite, "-n", "2"]],
    }


def write_suite(folder: Path, jobs: int, episodes: int) -> None:
    """Write independent jobs: each has its own seed, hence its own environment."""
    defaults = {
        "simulator": "metaworld",
        "environment": {"id": TASK, "max_episode_steps": 200, "options": {"terminate_on_success": False}},
        "policy": {"type": "metaworld_expert"},
        "rollout": {"episodes": episodes},
        "record": {"video": "off"},
    }
    made = {f"job{seed}": {"environment": {"seed": seed}} for seed in range(jobs)}
    (folder / "jobs.json").write_text(json.dumps({"defaults": defaults, "jobs": made}))
    (folder / "test_it.py").write_text(TEST)


def main() -> int:
    """Run the benchmark; the exit status is 1 where the target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=6)
    parser.add_argument("--episodes", type=int, default=60)
    parser.add_argument("--repetitions", type=int, default=3)
    given = parser.parse_args()
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_suite(folder, given.jobs, given.episodes)
        for _ in range(given.repetitions):
            for contestant, commands in contestants(given.jobs, given.episodes).items():
                times.setdefault(contestant, []).append(wall(commands, folder))
    medians = {contestant: statistics.median(seconds) for contestant, seconds in times.items()}
    for contestant, seconds in medians.items():
        print(f"{contestant:20} {seconds:7.1f} s   ({', '.join(f'{t:.1f}' for t in times[contestant])})")
    bare = medians["bare, 1 process"] / medians["bare, 2 processes"]
    ours = medians["pytest -n 1"] / medians["pytest -n 2"]
    met = ours / bare >= TARGET
    print(f"speed-up: bare {bare:.2f}, ours {ours:.2f}, ratio {ours / bare:.2f} (target {TARGET}) ", end="")
    print("PASS" if met else "MISS")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
