"""Jobs with a policy from a file, run in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_arena import Episode, evaluate
from pytest_arena.records.episodes import read_episodes
from tests.jobs import make_job

EPISODES, STEPS, SEED = 5, 25, 3


def run_policy(folder: Path, env_id: str, policy: dict[str, Any], num_envs: int = 1) -> list[Episode]:
    """Return the episodes of a short job, in their order; the run is below *folder*."""
    environment = {"id": env_id, "num_envs": num_envs, "max_episode_steps": STEPS, "seed": SEED}
    job = make_job(environment=environment, policy=policy, rollout={"episodes": EPISODES})
    output = folder / f"runs{num_envs}"
    before = set(output.glob("*Z-*"))
    assert evaluate(job, output=output).status == "completed"
    (run,) = set(output.glob("*Z-*")) - before
    return read_episodes(run / "job/episodes.jsonl")


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch compute with one thread: sums do not depend on the machine then."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def measured(episodes: list[Episode]) -> list[tuple[int, float]]:
    """Return length and return of each episode."""
    return [(episode.length, episode.return_) for episode in episodes]
