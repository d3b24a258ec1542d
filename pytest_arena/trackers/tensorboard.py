"""TensorBoard: ``pytest -p pytest_arena.trackers.tensorboard``, then ``tensorboard --logdir arena-results``.

Each job's folder gets a folder ``tensorboard``: curves over its episodes, and its numbers as single points.
"""

from __future__ import annotations

import pytest

from pytest_arena.trackers.tracking import TrackedJob, track


def pytest_configure(config: pytest.Config) -> None:
    """Track the jobs of this session."""
    track(config, "tensorboard", "tensorboard", log)


def log(job: TrackedJob) -> None:
    """Write the numbers of *job*."""
    from tensorboard.summary import Writer

    writer = Writer(str((job.run_dir / str(job.record.record_path)).with_name("tensorboard")))
    try:
        for episode, numbers in job.curves():
            for name, value in numbers.items():
                writer.add_scalar(name, value, episode)
        for name, value in job.numbers().items():
            writer.add_scalar(name, value, 0)
    finally:
        writer.close()
