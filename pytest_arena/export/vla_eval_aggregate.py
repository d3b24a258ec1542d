"""The aggregate of vla-evaluation-harness: ``<benchmark>_aggregate.json``, one for each simulator of the run.

A job is a task. An episode that an error cut off has a ``failure_reason`` and no ``success``, so the mean
leaves it out, and ``num_errors`` counts it; vla-eval itself counts it as a failure. An episode whose success
was not measured has neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_arena.export.finished_run import (
    FinishedJob,
    FinishedRun,
    Written,
    beyond_the_gate,
    incomplete_jobs,
    quantity,
    success_of,
)
from pytest_arena.records.files import write_json
from pytest_arena.records.schema import Episode, Outcome
from pytest_arena.records.to_plain import to_plain

_AGGREGATE = {
    "rate": "mean",
    "mean": "mean",
    "max": "max",
    "min": "min",
    "sum": "sum",
}
"""Reduction of a metric -> vla-eval's; it has none for the median."""


def write(run: FinishedRun, folder: Path) -> Written:
    """Write an aggregate for each simulator of *run* into *folder*, which exists."""
    written = Written(notes=incomplete_jobs(run))
    for job in run.jobs:
        written.notes += _notes(job)
    for simulator in dict.fromkeys(job.record.simulator for job in run.jobs):
        jobs = [job for job in run.jobs if job.record.simulator == simulator]
        path = folder / f"{re.sub(r'[^A-Za-z0-9._-]', '_', simulator)}_aggregate.json"
        write_json(path, aggregate(run, simulator, jobs))
        written.files.append(path)
    return written


def aggregate(run: FinishedRun, simulator: str, jobs: Sequence[FinishedJob]) -> dict[str, Any]:
    """Return the aggregate of *jobs*.

    Args:
        run: The run that they are a part of.
        simulator: Stands for vla-eval's benchmark.
        jobs: Those of the simulator; at least one.

    Returns:
        What vla-eval's own ``export`` makes of such episodes, key for key.
    """
    keys: dict[str, str] = {"success": "mean", "return": "mean"}
    for job in jobs:
        for name, definition in job.record.definitions.items():
            if (how := _AGGREGATE.get(str(definition.get("reduction", "mean")))) is not None:
                keys.setdefault(name, how)
    numbered = {job.label: index for index, job in enumerate(jobs)}
    tasks = [_task(run, job, numbered[job.label], keys) for job in sorted(jobs, key=lambda job: job.label)]
    seeds = {job.seed for job in jobs}
    seed = next(iter(seeds)) if len(seeds) == 1 else None
    config: dict[str, Any] = {"benchmark": simulator, "jobs": {job.label: dict(job.config) for job in jobs}}
    if seed is not None:
        config["params"] = {"seed": seed}
    body: dict[str, Any] = {
        "benchmark": simulator,
        "mode": "sync",
        "harness_version": f"pytest-arena {_version(jobs[0])}",
        "created_at": max(job.record.finished_at or "" for job in jobs),
        "tasks": tasks,
        "config": config,
        "eval_id": f"{run.name}-{simulator}",
    }
    if run.never_ran or not all(job.completed for job in jobs):
        body["partial"] = True
    if seed is not None:
        body["seed"] = seed
    body["metric_keys"] = keys
    body |= _reduced(keys, [episode for task in tasks for episode in task["episodes"]])
    body["num_episodes_total"] = sum(task["num_episodes"] for task in tasks)
    body["num_errors"] = sum(task.get("num_errors", 0) for task in tasks)
    return body


def _task(run: FinishedRun, job: FinishedJob, index: int, keys: Mapping[str, str]) -> dict[str, Any]:
    episodes = [_episode(run, episode, index) for episode in job.episodes]
    task = {
        "task": job.label,
        "episodes": episodes,
        "num_episodes": len(episodes),
        "avg_steps": sum(episode["steps"] for episode in episodes) / (len(episodes) or 1),
    }
    if errors := sum("failure_reason" in episode for episode in episodes):
        task["num_errors"] = errors
    return task | _reduced(keys, episodes)


def _episode(run: FinishedRun, episode: Episode, index: int) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    if episode.outcome != Outcome.ERROR:
        measured = {"success": success_of(episode), "return": episode.return_, **episode.metrics}
        metrics = {name: value for name, value in to_plain(measured).items() if value is not None}
    row = {
        "sid": run.name,
        "eid": f"{episode.job}-{episode.episode}",
        "episode_id": episode.episode,
        "metrics": metrics,
        "steps": episode.length,
        "elapsed_sec": episode.wall_time_seconds,
        "task_idx": index,
        "seed": episode.seed,
        "outcome": str(episode.outcome),
    }
    if episode.outcome == Outcome.ERROR:
        row |= {"failure_reason": episode.end_reason, "failure_detail": episode.error or ""}
    return row


def _reduced(keys: Mapping[str, str], episodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the means and other reductions, over the episodes that have a value, as vla-eval rounds them."""
    found = {}
    for name, how in keys.items():
        values = [episode["metrics"][name] for episode in episodes if name in episode["metrics"]]
        if values:
            total = sum(values)
            value = {"mean": total / len(values), "sum": total, "max": max(values), "min": min(values)}[how]
            found[f"{how}_{name}"] = round(value, 4)
    return found


def _version(job: FinishedJob) -> str:
    versions = job.record.identity.get("versions")
    return str(versions.get("pytest-arena")) if isinstance(versions, Mapping) else "unknown"


def _notes(job: FinishedJob) -> list[str]:
    notes = beyond_the_gate(job)
    if not job.completed:
        notes.append(f"{job.label}: its status is {job.record.status}, so the aggregate is marked partial")
    if job.errors:
        notes.append(
            f"{job.label}: {quantity(job.errors, 'episode')} with an error: failure_reason and num_errors "
            "tell, and mean_success leaves them out"
        )
    if unknown := sum(episode.outcome == Outcome.UNKNOWN for episode in job.episodes):
        notes.append(
            f"{job.label}: success was not measured in {quantity(unknown, 'episode')}: their metrics have no "
            "success, and mean_success leaves them out"
        )
    return notes
