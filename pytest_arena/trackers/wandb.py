"""Weights & Biases: ``pytest -p pytest_arena.trackers.wandb``; a run there for each job.

Offline unless ``WANDB_MODE`` says otherwise: files go into the job's folder, and ``wandb sync`` uploads them.
``WANDB_PROJECT`` and the other variables of wandb hold.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from pytest_arena.trackers.tracking import TrackedJob, track

SECONDS_TO_CONNECT = 30.0


def pytest_configure(config: pytest.Config) -> None:
    """Track the jobs of this session."""
    track(config, "wandb", "wandb", log)


def log(job: TrackedJob) -> None:
    """Write the episodes of *job* as curves, and its numbers as the summary."""
    mode: Any = os.environ.get("WANDB_MODE") or "offline"
    if mode == "offline":  # wandb's own crash reports go over the network
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    words = job.words()
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT") or "pytest-arena",
        group=words["run"],
        name=words["job"],
        id=f"{words['run']}-{words['job']}-{words['attempt']}",
        resume="allow",
        job_type="evaluation",
        config=dict(job.config),
        dir=str((job.run_dir / str(job.record.record_path)).parent),
        mode=mode,
        reinit="create_new",
        settings=wandb.Settings(init_timeout=SECONDS_TO_CONNECT, silent=True, console="off"),
    )
    try:
        for episode, numbers in job.curves():
            run.log(numbers, step=episode)
        run.summary.update({**job.numbers(), **words})
    finally:
        run.finish(exit_code=0 if words["status"] == "completed" else 1)
