"""What films of failures cost where nothing fails: by replay, against filming everything.

    python benchmarks/replay.py

The ten tasks of Meta-World's MT10 with their experts, episodes that all succeed, one camera of 192 x 192. The
same jobs run by turns: without films, with `retain-on-failure`, which renders only what has failed, after the
rollout, and with `on`. Times are of whole evaluations, from the making of the environment to the record on
disk; the imports and the first OpenGL of the process come before. Exit status 1 where the target is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

from pytest_arena import Job, VideoRecorder, evaluate

MT10 = (
    "reach",
    "push",
    "pick-place",
    "door-open",
    "drawer-open",
    "drawer-close",
    "button-press-topdown",
    "peg-insert-side",
    "window-open",
    "window-close",
)
RATIO = 8.0
SEEDS = 50
"""Tried until all episodes of a job succeed."""

Choice = Literal["off", "retain-on-failure", "on"]


def job(task: str, seed: int, episodes: int) -> Job:
    return Job.model_validate(
        {
            "name": task,
            "simulator": "metaworld",
            "environment": {
                "id": f"{task}-v3",
                "num_envs": 4,
                "seed": seed,
                "cameras": {"corner2": {"width": 192, "height": 192}},
            },
            "policy": {"type": "metaworld_expert"},
            "rollout": {"episodes": episodes},
        }
    )


def run(made: Job, video: Choice) -> tuple[float, float, float | None]:
    """Return wall and CPU seconds of a job, and its success rate."""
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        recorders = [] if video == "off" else [VideoRecorder(video)]
        record = evaluate(made, output=Path(folder), recorders=recorders)
        return time.perf_counter() - wall, time.process_time() - cpu, record.metrics["success_rate"]


def successful(task: str, episodes: int) -> Job:
    """Return a job of the task in which every episode succeeds."""
    for seed in range(SEEDS):
        made = job(task, seed, episodes)
        if run(made, "off")[2] == 1.0:
            return made
    raise SystemExit(f"{task}: no seed of {SEEDS} lets {episodes} episodes succeed")


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure films of failures by replay.")
    parser.add_argument("--episodes", type=int, default=8, help="a task (8)")
    episodes = parser.parse_args().episodes
    choices: tuple[Choice, ...] = ("off", "retain-on-failure", "on")
    wall, cpu = dict.fromkeys(choices, 0.0), dict.fromkeys(choices, 0.0)
    run(job("reach", 0, 1), "on")  # imports, and the first OpenGL of the process
    print(f"{episodes} episodes a task, seconds of wall time\n")
    print(f"{'task':24}{'seed':>5}" + "".join(f"{choice:>20}" for choice in choices))
    for turn, task in enumerate(MT10):
        made = successful(task, episodes)
        took = {}
        for choice in choices[:: -1 if turn % 2 else 1]:
            took[choice], used, _ = run(made, choice)
            wall[choice] += took[choice]
            cpu[choice] += used
        times = "".join(f"{took[choice]:20.2f}" for choice in choices)
        print(f"{task:24}{made.environment.seed:5}{times}", flush=True)
    for name, spent in (("wall time", wall), ("CPU time", cpu)):
        print(f"{name:29}" + "".join(f"{spent[choice]:20.2f}" for choice in choices))
    ratio = wall["on"] / wall["retain-on-failure"]
    met = ratio >= RATIO
    print(f"\n{'PASS' if met else 'MISS'}  on / retain-on-failure: {ratio:.1f}, target >= {RATIO:g}")
    print(f"of CPU time: {cpu['on'] / cpu['retain-on-failure']:.1f}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
