"""Run directories for tests of what is said of a run, with little to type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_arena import Episode, JobRecord
from pytest_arena.evaluation.verdict import verdict_of
from pytest_arena.records.episodes import write_episodes
from pytest_arena.records.files import write_json
from pytest_arena.records.manifest import Manifest
from pytest_arena.records.run_directory import RunDirectory, attempt_folder
from pytest_arena.records.schema import Status
from pytest_arena.records.to_plain import to_plain
from tests.jobs import judged, make_job
from tests.unit.gate.samples import episode


def write_manifest(run_dir: Path, jobs: Sequence[str], **entries: Any) -> Manifest:
    """Write ``run.json`` with *jobs*, which stand in ``jobs.yaml``, at line 1, 2 …; return it."""
    plain = {
        name: {"nodeid": f"jobs.yaml::rollout[{name}]", "config": {}, "file": "jobs.yaml", "line": line}
        for line, name in enumerate(jobs, 1)
    }
    write_json(run_dir / "run.json", {"jobs": {**plain, **entries}})
    return RunDirectory(run_dir).manifest()


def write_job(
    run_dir: Path,
    name: str,
    successes: Sequence[bool],
    *,
    job: Mapping[str, Any] | None = None,
    attempt: int = 1,
    episodes: Sequence[Episode] | None = None,
    **changes: Any,
) -> JobRecord:
    """Write the folder of a job whose episodes had these *successes*; *changes* are to its record."""
    found = [episode(k, success, job=name) for k, success in enumerate(successes)]
    found = found if episodes is None else [*episodes]
    model = make_job(name, **{"thresholds": {"success_rate": ">= 0.9"}, **(job or {})})
    record = JobRecord(name, attempt, "0", "gymnasium", "env", "zero", nodeid=f"jobs.yaml::rollout[{name}]")
    record.status = Status.COMPLETED
    record = judged(record, model, found)
    record.verdict = verdict_of(record.thresholds, None)
    record.episodes["requested"] = len(found)
    record.timings["total_seconds"] = 12.34
    for key, value in changes.items():
        setattr(record, key, value)
    folder = attempt_folder(run_dir, name, attempt)
    folder.mkdir(parents=True)
    write_json(folder / "record.json", to_plain(record.to_json()))
    write_episodes(folder / "episodes.jsonl", found)
    return record


def write_broken_job(run_dir: Path, name: str, message: str, status: Status = Status.ERROR) -> JobRecord:
    """Write the folder of a job that *message* ended."""
    error = {"type": "ValueError", "message": message, "traceback": ""}
    return write_job(run_dir, name, [], status=status, error=error, thresholds=[], metrics={}, intervals={})
