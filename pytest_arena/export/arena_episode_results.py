"""IsaacLab-Arena's results: ``<job>/episode_results_rebuild<R>.jsonl`` and ``arena_experiment_result.json``.

``success`` is null where it was not measured, and where an error cut the episode off; the additional keys
``outcome``, ``end_reason`` and ``error`` tell which, as terms of one's own do in Arena. Timestamps are local
and without a zone, as Arena's are.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pytest_arena.export.finished_run import (
    FinishedJob,
    FinishedRun,
    Written,
    beyond_the_gate,
    incomplete_jobs,
    success_of,
)
from pytest_arena.records.files import write_json, write_whole
from pytest_arena.records.schema import Episode
from pytest_arena.records.to_plain import to_plain

FILE = "arena_experiment_result.json"


def write(run: FinishedRun, folder: Path) -> Written:
    """Write the episodes of *run*, a file a job and rebuild, and the experiment's result into *folder*."""
    written = Written(notes=incomplete_jobs(run))
    runs = {}
    for job in run.jobs:
        written.notes += beyond_the_gate(job)
        if not job.completed:
            written.notes.append(f"{job.label}: its status is {job.record.status}, in Arena's words failed")
        rebuilds = _rebuilds(job)
        for rebuild, lines in rebuilds.items():
            path = folder / job.label / f"episode_results_rebuild{rebuild}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines))
            written.files.append(path)
        runs[job.label] = {
            "environment": {"name": job.record.environment, "definition": to_plain(job.at("environment"))},
            "policy_variant": job.record.policy,
            "status": "completed" if job.completed else "failed",
            "rebuilds": [{"index": index, "episodes": lines} for index, lines in rebuilds.items()],
        }
    write_json(folder / FILE, {"runs": runs})
    written.files.append(folder / FILE)
    return written


def _rebuilds(job: FinishedJob) -> dict[int, list[dict[str, Any]]]:
    """Return rebuild -> its lines, in the order in which the episodes of each row ended."""
    found: dict[int, list[Episode]] = {}
    for episode in sorted(job.episodes, key=lambda e: (e.rebuild, e.end_step, e.env_idx)):
        found.setdefault(episode.rebuild, []).append(episode)
    return {rebuild: _lines(job, episodes) for rebuild, episodes in found.items()}


def _lines(job: FinishedJob, episodes: Sequence[Episode]) -> list[dict[str, Any]]:
    begun: Counter[int] = Counter()
    lines = []
    for episode in episodes:
        line = {
            "job_name": job.label,
            "env_id": episode.env_idx,
            "episode_in_env": begun[episode.env_idx],
            "seed": job.seed,
            "episode_length": episode.length,
            "success": success_of(episode),
            "language_instruction": job.instruction,
            "timestamp": _ended(episode),
            "rebuild_idx": episode.rebuild,
            "global_episode_index": episode.episode,
            "outcome": episode.outcome,
            "end_reason": episode.end_reason,
            "error": episode.error,
            "episode_seed": episode.seed,
            "return": episode.return_,
        }
        begun[episode.env_idx] += 1
        # What Arena's own recorder said (variations, progress), and metrics, where the names are free.
        lines.append(to_plain({**episode.metrics, **episode.details, **line}))
    return lines


def _ended(episode: Episode) -> str:
    began = datetime.fromisoformat(episode.started_at)
    ended = began + timedelta(seconds=episode.wall_time_seconds)
    return ended.astimezone().replace(tzinfo=None).isoformat()
