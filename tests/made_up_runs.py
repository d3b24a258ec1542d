"""Run directories that nobody ran: a few files each, with the numbers that a test needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_arena.jobs.threshold import Threshold
from pytest_arena.records.files import write_json
from pytest_arena.records.run_directory import attempt_folder
from pytest_arena.records.schema import JobRecord, Status, ThresholdResult, Verdict
from tests.jobs import make_job


def made_up_job(label: str = "reach", rate: float | None = 0.9, **changes: Any) -> dict[str, Any]:
    """Return a job for `make_up_run`.

    Args:
        label: Its name in the run.
        rate: Its success rate; the interval is 0.1 to both sides.
        **changes: ``status``, ``attempt``, ``expected`` (a threshold on the rate; None for none),
            ``policy_files``, ``policy_source``; other keys replace those of the job's configuration.
    """
    return {"label": label, "rate": rate, **changes}


def make_up_run(results: Path, name: str, jobs: Sequence[Mapping[str, Any]] = (), **changes: Any) -> Path:
    """Write ``run.json`` and the records of *jobs* to the folder *name* in *results*.

    Args:
        results: The folder of runs; it is made.
        name: That of a run directory, ``20260102T030405Z-0000``: the run began then.
        jobs: As `made_up_job` returns them.
        **changes: They replace keys of ``run.json``.

    Returns:
        The run directory.
    """
    path, entries = results / name, {}
    path.mkdir(parents=True)
    for job in jobs:
        entry, record = _entry_and_record(**job)
        entries[job["label"]] = entry
        folder = attempt_folder(path, record.job, record.attempt)
        folder.mkdir()
        write_json(folder / "record.json", record.to_json())
    at = f"{name[:4]}-{name[4:6]}-{name[6:11]}:{name[11:13]}:{name[13:15]}"
    about = {
        "schema_version": "1.0",
        "run": name,
        "started_at": f"{at}.000Z",
        "finished_at": f"{at}.900Z",
        "exit_status": 0,
        "versions": {"python": "3.11.7", "mujoco": "3.3.0"},
        "revision": {"commit": "c0ffee" * 7, "dirty": False},
        "machine": {"node": "desk"},
        "jobs": entries,
    }
    write_json(path / "run.json", about | changes)
    return path


def _entry_and_record(
    label: str,
    rate: float | None,
    status: Status = Status.COMPLETED,
    attempt: int = 1,
    expected: str | None = ">= 0.5",
    policy_files: Mapping[str, str] | None = None,
    policy_source: str | None = None,
    **changes: Any,
) -> tuple[dict[str, Any], JobRecord]:
    thresholds = {} if expected is None else {"success_rate": expected}
    job = make_job(label, **{"thresholds": thresholds, "rollout": {"episodes": 20}, **changes})
    record = JobRecord(
        label, attempt, job.sha256(), job.simulator, job.environment.id, job.policy.type, status
    )
    measured = status == Status.COMPLETED
    record.metrics = {"success_rate": rate}
    if rate is not None:
        record.intervals = {"success_rate": (max(0.0, rate - 0.1), min(1.0, rate + 0.1))}
    if expected is not None:
        passed = rate is not None and Threshold.parse(expected).holds(rate)
        record.thresholds = [ThresholdResult("success_rate", expected, rate, passed)]
        record.verdict = Verdict.PASS if passed else Verdict.FAIL
    if not measured:
        record.verdict = Verdict.NONE if status == Status.RUNNING else Verdict.ERROR
    record.episodes = {"requested": 20, "measured": 20 if measured else 7, "errors": 0}
    record.boundaries = [
        {"episode": i, "env_idx": i % 4, "start_step": i // 4 * 50, "end_step": i // 4 * 50 + 49}
        for i in range(record.episodes["measured"])
    ]
    record.timings = {"total_seconds": 12.5}
    entry = {
        "nodeid": f"test_it.py::test_it[{label}]",
        "config_sha256": record.config_sha256,
        "policy_files": dict(policy_files or {}),
        "policy_source": policy_source,
        "config": job.config(),
    }
    return entry, record
