"""Environment steps per second of an evaluation on Isaac Lab, against a bare loop over the same environment.

    python benchmarks/isaaclab.py [--device cuda:0] [--envs 4 64] [--repeats 7]

Isaac Lab 3.0 without Isaac Sim, on the cart of ``evals/cart.py`` (docs/isaaclab.md: installation). The bare
loop acts, steps and sums rewards; with a camera it also brings each row's image to the host at each step, as
whoever films must. The evaluation keeps its records on disk and, with a camera, films every episode until its
film is closed; the overview film, made of the films when no step is left, is not part of the time.
Contestants run by turns over one environment object; ratios are of the fastest runs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

# This file has the name of the package that it measures: its folder must not be searched for it.
sys.path[0] = str(Path(__file__).parents[1])

import torch

from evals.cart import Driver
from pytest_arena import Job, RunDirectory, SimEnv, VideoRecorder
from pytest_arena.evaluation.run_job import Evaluation
from pytest_arena.policies.duck_typed import CustomPolicy
from pytest_arena.records.attempt import Attempt
from pytest_arena.simulators.isaaclab.simulator import IsaacLabSimulator

STEPS = 120
"""Steps of every episode: a driver who goes nowhere neither parks nor leaves the rail."""
TARGETS = {False: 0.97, True: 0.90}
"""With a camera or without -> least ratio."""


def job_of(num_envs: int, device: str, rounds: int, *, camera: bool) -> Job:
    """Return the job whose episodes all last STEPS steps."""
    overrides: dict[str, object] = {"events.start.params.position_range": [-0.5, -0.5]}
    if not camera:
        overrides["scene.side"] = "null"
    return Job.model_validate(
        {
            "name": "overhead",
            "simulator": "isaaclab",
            "environment": {
                "id": "evals.cart:CartEnvCfg",
                "num_envs": num_envs,
                "device": device,
                "max_episode_steps": STEPS,
                "options": {"overrides": overrides},
            },
            "policy": {"type": "evals.cart:Driver"},
            "rollout": {"episodes": rounds * num_envs},
        }
    )


def bare(env: SimEnv, policy: Driver, rounds: int, *, camera: bool) -> None:
    """The loop by hand, over Isaac Lab's own environment."""
    raw = env.unwrapped
    observation, _ = raw.reset(seed=1)
    total, ended = torch.zeros(env.num_envs, device=env.device), 0
    side = raw.unwrapped.scene.sensors["side"] if camera else None
    with torch.no_grad():
        while ended < rounds * env.num_envs:
            observation, reward, terminated, truncated, _ = raw.step(policy.act(observation))
            total += reward
            ended += int((terminated | truncated).sum())
            if side is not None:
                side.data.output["rgb"].torch[..., :3].cpu().numpy().copy()


def evaluated(job: Job, env: SimEnv, output: Path, *, camera: bool) -> None:
    """The same rollout as a job, without the overview of its films."""
    run = RunDirectory.create(output)
    attempt = Attempt.begin(job, run, job.name)
    record = attempt.record
    policy = CustomPolicy.make(Driver, {"stiffness": 0.0}, env)
    recorders = [VideoRecorder("on")] if camera else []
    with mock.patch("pytest_arena.recorders.films.overview.add_overview"):
        Evaluation(job, attempt, lambda _: env, policy, recorders).run()
    assert record.episodes["measured"] == job.rollout.episodes
    assert len(record.videos) == (job.rollout.episodes if camera else 0)


def timed(run: Callable[[], None]) -> tuple[float, float]:
    """Return wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(num_envs: int, options: argparse.Namespace, *, camera: bool) -> float:
    """Print one row; return the ratio of the fastest runs."""
    rounds = options.rounds
    job = job_of(num_envs, options.device, rounds, camera=camera)
    env = IsaacLabSimulator().make(job)
    driver = Driver(stiffness=0.0)
    with tempfile.TemporaryDirectory() as output:
        contestants: dict[str, Callable[[], None]] = {
            "bare": lambda: bare(env, driver, rounds, camera=camera),
            "job": lambda: evaluated(job, env, Path(output), camera=camera),
        }
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
        for turn in range(options.repeats + 1):
            for name in list(contestants)[:: 1 if turn % 2 else -1]:
                took = timed(contestants[name])
                if turn:  # the first turn warms up
                    spent[name].append(took)
    env.close()
    steps = rounds * STEPS
    rate = {name: steps / min(wall for wall, _ in runs) for name, runs in spent.items()}
    median = {name: steps / statistics.median(wall for wall, _ in runs) for name, runs in spent.items()}
    cpu = min(c for _, c in spent["bare"]) / min(c for _, c in spent["job"])
    ratio = rate["job"] / rate["bare"]
    print(
        f"| {num_envs} | {'one' if camera else 'none'} | {median['bare']:.1f} | {median['job']:.1f} | "
        f"{rate['bare']:.1f} | {rate['job']:.1f} | {ratio:.3f} | {cpu:.3f} | {TARGETS[camera]} |",
        flush=True,
    )
    return ratio


def main() -> int:
    """Print the table; exit status 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--envs", type=int, nargs="+", default=[4, 64])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=2, help="episodes of each row in a run (2)")
    options = parser.parse_args()
    columns = "rows", "camera", "bare steps/s, median", "job, median", "bare, fastest", "job, fastest"
    print(f"| {' | '.join(columns)} | job / bare | CPU | target |")
    print("|---|---|---|---|---|---|---|---|---|")
    missed = [
        (num_envs, camera)
        for num_envs in options.envs
        for camera in (False, True)
        if measure(num_envs, options, camera=camera) < TARGETS[camera]
    ]
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
