"""The beginning and the failure of an attempt, as its record tells them."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

from pytest_arena.errors import ArenaError, StrayOutcomeError
from pytest_arena.jobs.model import Job
from pytest_arena.records.directory import JobDirectory, utc_now, write_json
from pytest_arena.records.provenance import host, versions
from pytest_arena.records.schema import JobRecord, Status, Verdict

_OF_THE_ROLLOUT = (
    "reproducible",
    "deterministic",
    "terminal_frame",
    "reported",
    "live_films",
    "definitions",
    "notes",
)
"""Fields of a record that only the rollout could tell."""


def begin_record(
    job: Job,
    directory: JobDirectory,
    run_dir: Path,
    label: str,
    nodeid: str | None,
    before: JobRecord | None = None,
) -> JobRecord:
    """Write the record of a job that begins: a killed process leaves it with the status ``running``.

    What the record *before*, of the same attempt or of one whose measurement stands, says of its rollout is
    kept: the process may be killed before the environment is known again.
    """
    record = JobRecord(
        job=label,
        attempt=directory.attempt,
        config_sha256=job.sha256(),
        simulator=job.simulator,
        environment=job.environment.id,
        policy=job.policy.type,
        nodeid=nodeid,
        identity={"versions": versions(), "host": host()},
        episodes={"requested": len(job.wanted_episodes), "measured": 0, "errors": 0},
        record_path=directory.record.relative_to(run_dir).as_posix(),
        episodes_path=directory.episodes.relative_to(run_dir).as_posix(),
        started_at=utc_now(),
    )
    if before is not None:
        record.identity = before.identity | record.identity
        for name in _OF_THE_ROLLOUT:
            setattr(record, name, getattr(before, name))
    write_json(directory.record, record.to_json())
    return record


def fail_record(record: JobRecord, error: BaseException) -> None:
    """Note *error* in the record; the full traceback unless the error is the user's to mend."""
    record.status, record.verdict = Status.ERROR, Verdict.ERROR
    named = error.__cause__ if isinstance(error, StrayOutcomeError) and error.__cause__ else error
    record.error = {
        "type": type(named).__name__,
        "message": str(error),
        "traceback": "" if isinstance(error, ArenaError) else "".join(traceback.format_exception(error)),
    }


def giving_up(record: JobRecord, path: Path) -> Callable[[BaseException], None]:
    """Return what writes *record* to *path* as an error, for a process that is about to end."""

    def give_up(error: BaseException) -> None:
        fail_record(record, error)
        record.finished_at = utc_now()
        write_json(path, record.to_json())

    return give_up
