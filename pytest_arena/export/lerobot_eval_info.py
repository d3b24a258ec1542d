"""LeRobot's ``eval_info.json``, as ``lerobot-eval`` writes it: per task, per group, overall.

A job is a task group with the only task 0. Beside what LeRobot 0.6 writes, there are the keys of later
versions: ``pc_success``, ``n_success``, ``n_episodes`` and ``pc_success_ci95`` of a task, the first and the
last two of which are also those of a group. The file has no word for an error, and none for a job that did
not complete: what is left out is told. ``null`` is what was not measured, where LeRobot writes NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_arena.errors import RunDirectoryError
from pytest_arena.export.finished_run import (
    FinishedJob,
    FinishedRun,
    Written,
    beyond_the_gate,
    incomplete_jobs,
    quantity,
    success_of,
)
from pytest_arena.gate.intervals import wilson
from pytest_arena.records.files import write_json

FILE = "eval_info.json"


def write(run: FinishedRun, folder: Path) -> Written:
    """Write ``eval_info.json`` of *run* into *folder*, which exists.

    Raises `RunDirectoryError` where no job of the run completed.
    """
    written = Written([folder / FILE], incomplete_jobs(run))
    jobs = [job for job in run.jobs if job.completed]
    for job in run.jobs:
        written.notes += _notes(job)
    if not jobs:
        raise RunDirectoryError(f"{run.path}: no job of the run completed, so eval_info.json would be empty")
    columns = [_columns(run, job) for job in jobs]
    totals = [_totals([one], _interval(job)) for one, job in zip(columns, jobs, strict=True)]
    seconds = sum(job.record.timings.get("total_seconds", 0.0) for job in jobs)
    stopped_early = any(_stopped_early(job) for job in jobs)
    whole = _totals(columns, None if stopped_early else _wilson(columns))
    if len(jobs) > 1 and stopped_early:
        written.notes.append("overall: no pc_success_ci95, since a gate decided how many episodes there are")
    write_json(
        folder / FILE,
        {
            "per_task": [
                {"task_group": job.label, "task_id": 0, "metrics": one, **_of_a_task(total)}
                for job, one, total in zip(jobs, columns, totals, strict=True)
            ],
            "per_group": {job.label: total for job, total in zip(jobs, totals, strict=True)},
            "overall": {**whole, "eval_s": seconds, "eval_ep_s": seconds / max(1, whole["n_episodes"])},
        },
    )
    return written


def _notes(job: FinishedJob) -> list[str]:
    """Return what the file does not say of *job*."""
    if not job.completed:
        counts = job.record.episodes
        measured, requested = counts.get("measured", 0), counts.get("requested", 0)
        return [
            f"{job.label}: left out, since its status is {job.record.status}, after {measured} of "
            f"{requested} episodes and {quantity(counts.get('errors', 0), 'error')}: {FILE} cannot say so"
        ]
    notes = beyond_the_gate(job)
    if job.errors:
        notes.append(
            f"{job.label}: {quantity(job.errors, 'episode')} with an error left out: {FILE} cannot say so"
        )
    if unknown := sum(success_of(episode) is None for episode in job.measured):
        notes.append(
            f"{job.label}: success was not measured in {quantity(unknown, 'episode')}: it is null there, and "
            "so is pc_success"
        )
    if any(episode.max_reward is None for episode in job.measured):
        notes.append(
            f"{job.label}: max_rewards and avg_max_reward are null: the run is of a version that did not "
            "keep the largest reward"
        )
    return notes


def _columns(run: FinishedRun, job: FinishedJob) -> dict[str, list[Any]]:
    """Return the ``metrics`` of a task: a list each, an entry an episode in the order of their indices."""
    episodes = job.measured
    return {
        "sum_rewards": [episode.return_ for episode in episodes],
        "max_rewards": [episode.max_reward for episode in episodes],
        "successes": [success_of(episode) for episode in episodes],
        "video_paths": [run.file(path) for episode in episodes for path in episode.videos.values()],
        "predicted_video_paths": [],
    }


def _totals(columns: Sequence[dict[str, list[Any]]], interval: tuple[float, float] | None) -> dict[str, Any]:
    """Return what a group says of its tasks; *interval* is that of its rate, None: there is none."""
    joined = {name: [value for one in columns for value in one[name]] for name in columns[0]}
    successes, rate = joined["successes"], _mean(joined["successes"])
    return {
        "avg_sum_reward": _mean(joined["sum_rewards"]),
        "avg_max_reward": _mean(joined["max_rewards"]),
        "pc_success": None if rate is None else rate * 100,
        "n_success": None if rate is None else sum(successes),
        "n_episodes": len(joined["sum_rewards"]),
        "pc_success_ci95": None if rate is None or interval is None else [end * 100 for end in interval],
        "video_paths": joined["video_paths"],
        "predicted_video_paths": joined["predicted_video_paths"],
    }


def _wilson(columns: Sequence[dict[str, list[Any]]]) -> tuple[float, float] | None:
    """Return the interval of the rate of all tasks together; None where an episode was not measured."""
    successes = [success for one in columns for success in one["successes"]]
    return wilson(sum(successes), len(successes)) if successes and None not in successes else None


def _of_a_task(total: dict[str, Any]) -> dict[str, Any]:
    return {name: total[name] for name in ("pc_success", "n_success", "n_episodes", "pc_success_ci95")}


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean; None where one is missing: a mean over the rest is not that of the episodes."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _stopped_early(job: FinishedJob) -> bool:
    return not job.record.fixed


def _interval(job: FinishedJob) -> tuple[float, float] | None:
    """Return the record's own interval: after an early stop Wilson's does not hold."""
    return job.record.intervals.get("success_rate")
