"""What reports say of a job, from its record."""

from __future__ import annotations

from typing import Any

from pytest_arena.jobs.model import Job
from pytest_arena.records.schema import JobRecord
from pytest_arena.records.to_plain import to_plain


def arena_metadata(record: JobRecord) -> dict[str, Any]:
    """Return what the JSON report says of a job."""
    keys = (
        "schema_version",
        "job",
        "attempt",
        "config_sha256",
        "simulator",
        "environment",
        "policy",
        "status",
        "verdict",
        "metrics",
        "unmeasured",
        "thresholds",
        "gate",
        "comparison",
        "episodes",
        "only",
        "boundaries",
        "videos",
        "overview",
        "hdf5_path",
        "record_path",
        "episodes_path",
        "reproducible",
        "notes",
        "steps",
        "timings",
        "inference",
        "error",
    )
    data = record.to_json()
    plain: dict[str, Any] = to_plain({key: data[key] for key in keys})
    return plain


def scalars(record: JobRecord, job: Job | None) -> list[tuple[str, object]]:
    """Return status and verdicts, the seed of *job*, where the record is, and what was measured.

    A metric that has no value is left out; a rate has the two ends of its interval beside it. Paths are
    relative to the run directory. *job* is None where the manifest no longer tells it.
    """
    found: list[tuple[str, object]] = [
        ("arena_status", str(record.status)),
        ("arena_verdict", str(record.verdict)),
    ]
    if job is not None:
        found.append(("arena_seed", job.environment.seed))
    if record.record_path is not None:
        found.append(("arena_record", record.record_path))
    if record.comparison is not None:
        found.append(("arena_comparison", str(record.comparison.verdict)))
    found += [(f"arena_{name}", value) for name, value in record.metrics.items() if value is not None]
    for name, (low, high) in record.intervals.items():
        found += [(f"arena_{name}_low", low), (f"arena_{name}_high", high)]
    return found
