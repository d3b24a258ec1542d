"""LeRobot's ``eval_info.json``, in both shapes: of several tasks, and of a single environment."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_arena.comparison.samples import Point, Sample
from pytest_arena.errors import BaselineError
from pytest_arena.jobs.sections import MOST_EPISODES

_LISTS = {"success_rate": "successes", "return": "sum_rewards", "max_reward": "max_rewards"}
_KEYS = {"success_rate": "success", "return": "sum_reward", "max_reward": "max_reward"}


def lerobot_jobs(data: Mapping[str, Any], path: Path) -> dict[str | None, dict[str, Sample]]:
    """Return label -> metric -> values; the label is None where the file does not name its only job.

    A task's label is ``<task_group>_<task_id>``, as in the paths of its videos. Rewards may be missing; seeds
    that decide an episode and initial states always are.
    Raises `BaselineError` for a file of another shape.
    """
    try:
        if "per_task" in data:
            return dict(_tasks(data["per_task"]))
        rows = sorted(data["per_episode"], key=lambda row: row["episode_ix"])
        found = _samples({name: [row.get(key) for row in rows] for name, key in _KEYS.items()})
        return {None: found or _counted(data.get("aggregated") or data["overall"])}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        words = f"{type(error).__name__}: {error}"
        raise BaselineError(f"{path}: expected an eval_info.json as LeRobot writes it ({words})") from None


def group_aliases(data: Mapping[str, Any]) -> dict[str, str]:
    """Return group -> label of its task, for groups that have a single one."""
    tasks = data.get("per_task", ())
    groups = Counter(str(task["task_group"]) for task in tasks)
    return {str(task["task_group"]): _label(task) for task in tasks if groups[str(task["task_group"])] == 1}


def _tasks(tasks: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Sample]]]:
    for task in tasks:
        metrics = task.get("metrics") or {}
        samples = _samples({name: metrics.get(key) or [] for name, key in _LISTS.items()})
        if "success_rate" not in samples:
            samples |= _counted({**metrics, **task})
        yield _label(task), samples


def _label(task: Mapping[str, Any]) -> str:
    return f"{task['task_group']}_{task['task_id']}"


def _samples(columns: Mapping[str, Sequence[Any]]) -> dict[str, Sample]:
    """Return a sample of each column that has a finite value in every episode."""
    samples = {}
    for name, column in columns.items():
        values = [float(value) for value in column if value is not None]
        if values and len(values) == len(column) and all(map(math.isfinite, values)):
            points = tuple(Point(index, value) for index, value in enumerate(values))
            counts = (sum(value > 0.5 for value in values), len(values)) if name == "success_rate" else None
            samples[name] = Sample(points, counts)
    return samples


def _counted(totals: Mapping[str, Any]) -> dict[str, Sample]:
    """Return the success rate from totals: ``n_success``, else ``pc_success``, which is in percent."""
    episodes = int(totals["n_episodes"])
    if episodes > MOST_EPISODES:
        raise ValueError(f"expected n_episodes of at most {MOST_EPISODES:,}, got {episodes}")
    successes = totals.get("n_success")
    if successes is None and totals.get("pc_success", 0.0) is None:
        return {}  # not measured
    if successes is None:
        successes = round(float(totals["pc_success"]) / 100 * episodes)
    if not 0 <= int(successes) <= episodes or not episodes:
        raise ValueError(f"{successes} successes in {episodes} episodes")
    return {"success_rate": Sample(counts=(int(successes), episodes))}
