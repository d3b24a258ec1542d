"""Flat tables: ``jobs.csv`` with a row a job, ``episodes.csv`` with a row an episode.

A value that there is not, or that was not measured, is an empty cell; the columns ``status``, ``outcome`` and
``unmeasured`` say why. Booleans are ``true`` and ``false``.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_arena.export.finished_run import FinishedJob, FinishedRun, Written, incomplete_jobs
from pytest_arena.records.files import write_whole
from pytest_arena.records.schema import Episode
from pytest_arena.records.to_plain import to_plain

_SPREAD = ("metrics", "videos")
"""Keys of an episode that get a column for each key of their own."""


def write(run: FinishedRun, folder: Path) -> Written:
    """Write both tables of *run* into *folder*, which exists; nothing is left out: states have columns."""
    jobs = [_job_row(run, job) for job in run.jobs]
    episodes = []
    for job in run.jobs:
        counted = {episode.episode for episode in job.episodes}
        episodes += [_episode_row(run, one, counted=one.episode in counted) for one in job.every]
    written = Written(notes=incomplete_jobs(run))
    for name, rows in (("jobs.csv", jobs), ("episodes.csv", episodes)):
        write_whole(folder / name, _table(rows))
        written.files.append(folder / name)
    return written


def _job_row(run: FinishedRun, job: FinishedJob) -> dict[str, Any]:
    record = job.record
    row: dict[str, Any] = {
        "run": run.name,
        "job": record.job,
        "attempt": record.attempt,
        "simulator": record.simulator,
        "environment": record.environment,
        "policy": record.policy,
        "seed": job.seed,
        "num_envs": job.at("environment", "num_envs"),
        "status": record.status,
        "verdict": record.verdict,
        "episodes_requested": record.episodes.get("requested"),
        "episodes_measured": record.episodes.get("measured"),
        "episodes_errors": record.episodes.get("errors"),
        "reproducible": record.reproducible,
        "steps": record.steps,
        "total_seconds": record.timings.get("total_seconds"),
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "error": record.error and f"{record.error.get('type')}: {record.error.get('message')}",
        "unmeasured": "; ".join(f"{name}: {why}" for name, why in record.unmeasured.items()),
        "config_sha256": record.config_sha256,
    }
    for name, value in record.metrics.items():
        row[f"metrics.{name}"] = value
        if name in record.intervals:
            low, high = record.intervals[name]
            row |= {f"metrics.{name}.low": low, f"metrics.{name}.high": high}
    return row


def _episode_row(run: FinishedRun, episode: Episode, *, counted: bool) -> dict[str, Any]:
    data = episode.to_json()
    row: dict[str, Any] = {"run": run.name, "job": data.pop("job"), "episode": data.pop("episode")}
    row |= {"counted": counted, "outcome": data.pop("outcome"), "return": data.pop("return")}
    spread = {key: data.pop(key) for key in _SPREAD}
    row |= data
    return row | {f"{key}.{name}": value for key, values in spread.items() for name, value in values.items()}


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return *rows* as CSV; a column of some rows only comes after those of all."""
    columns = dict.fromkeys(name for row in rows for name in row)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> str:
    plain = to_plain(value)
    if plain is None or plain in ({}, []):
        return ""
    return plain if isinstance(plain, str) else json.dumps(plain)
