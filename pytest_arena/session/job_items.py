"""The job of a test item: its label, its environment, its metrics."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable
from functools import cache
from importlib.metadata import entry_points

import pytest

from pytest_arena.errors import JobFileError, described
from pytest_arena.jobs.model import Job
from pytest_arena.rollout.info_metrics import metrics_of_job
from pytest_arena.rollout.metrics import Metric
from pytest_arena.simulators.registry import find_simulator

JOB = pytest.StashKey[Job]()
LABEL = pytest.StashKey[str]()
"""The job's name in this run: its folder, and the key of its metrics."""


def job_of(item: pytest.Item) -> Job | None:
    """Return the job that *item* evaluates; None for any other test."""
    if JOB not in item.stash and isinstance(item, pytest.Function) and hasattr(item, "callspec"):
        job = item.callspec.params.get("arena_job")
        if isinstance(job, Job):
            item.stash[JOB] = job
    return item.stash.get(JOB, None)


def added_metrics(config: pytest.Config, job: Job) -> list[Metric]:
    """Return new objects of the metrics that *job* defines, and that plugins and packages add to it."""
    metrics = metrics_of_job(job)
    for added in config.hook.pytest_arena_metrics(config=config, job=job):
        if added is not None and not isinstance(added, (list, tuple)):
            raise JobFileError(f"pytest_arena_metrics: expected a list of metrics, got {described(added)}")
        metrics += added or ()
    for make in _packages_metrics():
        metrics += make(job) or ()
    return metrics


@cache
def _packages_metrics() -> list[Callable[[Job], Iterable[Metric] | None]]:
    """Return what installed packages give; once a process, for it reads the metadata of all of them."""
    return [entry.load() for entry in entry_points(group="pytest_arena.metrics")]


def whole_node_id(item: pytest.Item, job: Job) -> str:
    """Return the id that the item would have if its job were not sharded."""
    if job.shard is None:
        return item.nodeid
    # Other parameters may stand before it and behind it, and a number where another job is called like it.
    part = rf"(?<=[\[-]){re.escape(job.name + job.suffix)}(?:_?\d+)?(?=[\]-])"
    return item.nodeid.removesuffix(item.name) + re.sub(part, job.name, item.name, count=1)


def whole_label(item: pytest.Item) -> str:
    """Return the label that the item's job would have if it were not sharded."""
    job = job_of(item)
    return item.stash[LABEL].removesuffix(job.suffix if job is not None else "")


def environment_key(job: Job) -> tuple[Hashable, Hashable]:
    """Return what jobs must have in common to share a process (None: any will do), and an environment."""
    simulator = find_simulator(job)
    launch = simulator.launch_key(job)
    return None if launch is None else (job.simulator, launch), simulator.environment_key(job)
