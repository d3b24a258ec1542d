"""How often a gate errs when failed tests are run again until they pass.

    python benchmarks/reruns.py [--jobs 400] [--reruns 5]

A policy whose chance nobody can seed succeeds in exactly 80 % of its episodes, and its gate asks for at least
80 % with an error of 5 %. Pytest runs in a process of its own, with ``--reruns``; the jobs that pass are
counted: with the verdict that the product gives, and as if each attempt had drawn episodes of its own. The
stream of chance is fixed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

MODULE = """
import gymnasium, numpy as np

CHANCE = np.random.default_rng(2026)

class Ask(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Box(0, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, True, False, {"success": bool(action[0] > 0.5)}

class Coin:
    reproducible = False

    def act(self, observation):
        return (CHANCE.random((len(observation), 1)) < 0.8).astype(np.float32)

gymnasium.register("Ask-v0", Ask, max_episode_steps=1, disable_env_checker=True)
"""
TARGET = 0.05


def main() -> int:
    """Print the table; returns 1 if the gate errs more often than it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--reruns", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        first, last = passes(Path(folder), asked.jobs, asked.reruns)
    alone = 1 - (1 - first) ** (asked.reruns + 1)
    error = (TARGET * (1 - TARGET) / asked.jobs) ** 0.5
    print(f"true rate 0.8, gate >= 0.8 at 5 %, {asked.jobs} jobs, --reruns {asked.reruns}\n")
    print("| first attempts that pass | tests that pass | if each attempt drew anew |\n|---|---|---|")
    print(f"| {first:.1%} | {last:.1%} | {alone:.1%} |")
    good = last <= TARGET + 2 * error
    print(f"\ntarget: at most 5 % of tests pass, within {2 * error:.1%}: {'met' if good else 'MISSED'}")
    return 0 if good else 1


def passes(folder: Path, jobs: int, reruns: int) -> tuple[float, float]:
    """Return the share of jobs whose first attempt passed, and that of tests that passed in the end."""
    (folder / "coin.py").write_text(MODULE)
    job = {
        "simulator": "gymnasium",
        "environment": {"id": "coin:Ask-v0", "num_envs": 10},
        "policy": {"type": "coin:Coin"},
        "thresholds": {"success_rate": ">= 0.8"},
        "gate": {"episodes_max": 50},
    }
    (folder / "jobs.yaml").write_text(
        json.dumps({"defaults": job, "jobs": {f"job{i}": None for i in range(jobs)}})
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--tb=no",
        "--reruns",
        str(reruns),
        "--arena-jobs",
        "jobs.yaml",
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
    }
    subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=False)
    (run,) = (folder / "arena-results").glob("2*")
    records = [json.loads((run / f"job{i}" / "record.json").read_text()) for i in range(jobs)]
    tests = json.loads((run / "report.json").read_text())["tests"]
    first = sum(record["verdict"] == "pass" for record in records)
    return first / jobs, sum(test["outcome"] == "passed" for test in tests) / jobs


if __name__ == "__main__":
    sys.exit(main())
