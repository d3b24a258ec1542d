"""What is on disk of one attempt at a job, read for a page: what cannot be read is a note."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pytest_arena.records.json_files import read_json
from pytest_arena.records.manifest import JobEntry, Manifest
from pytest_arena.records.run_directory import RunDirectory, attempt_folder, read_record
from pytest_arena.records.schema import JobRecord, Status

NEVER_RAN = "never ran"
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class StoredJob:
    """One attempt at a job."""

    path: Path
    """Its folder, which need not exist."""
    label: str
    attempt: int
    record: JobRecord | None
    entry: JobEntry
    """What ``run.json`` says of the job; empty where it says nothing."""
    notes: list[str] = field(default_factory=list)
    """What could not be read, a line each."""

    @property
    def folder(self) -> str:
        """Name of its folder: the address of the job in the page."""
        return self.path.name

    @property
    def verdict(self) -> str:
        """The verdict of a completed job, else its status, `NEVER_RAN` or `UNREADABLE`."""
        if self.record is None:
            return UNREADABLE if self.path.exists() else NEVER_RAN
        return str(self.record.verdict if self.record.status == Status.COMPLETED else self.record.status)

    @property
    def is_shard(self) -> bool:
        """Whether it is a part of a job that has a row of its own."""
        return self.entry.shard is not None


def stored_jobs(run_dir: Path, manifest: Manifest) -> Iterator[StoredJob]:
    """Yield every attempt of a run, one at a time: jobs in the order of *manifest*, then those it lacks.

    Args:
        run_dir: The run directory.
        manifest: Its ``run.json``; without jobs where there is none.

    Yields:
        The attempts at each job in their order. A job that has no folder is one that never ran.
    """
    run, seen = RunDirectory(run_dir), set[str]()
    labels = dict.fromkeys(manifest.jobs)
    for entry in manifest.jobs.values():
        if entry.shard is not None:  # a whole has no entry of its own
            labels.setdefault(entry.shard.label)
    for label in labels:
        entry = _entry(manifest, label)
        directories = [d for d in run.attempts(label) if d.path.name == label or d.path.name not in labels]
        if not directories:
            yield StoredJob(attempt_folder(run_dir, label, 1), label, 1, None, entry)
        for directory in directories:
            seen.add(directory.path.name)
            yield _read(directory.path, label, directory.attempt, entry)
    for path in sorted(run_dir.glob("*/record.json")):
        if (folder := path.parent).name not in seen and not folder.name.startswith("."):
            yield _read(folder, folder.name, 1, JobEntry())


def _entry(manifest: Manifest, label: str) -> JobEntry:
    """Return what the manifest says of the job *label*: of a sharded job, what its first shard says."""
    if (entry := manifest.jobs.get(label)) is not None:
        return entry
    parts = [e for e in manifest.jobs.values() if e.shard is not None and e.shard.label == label]
    return JobEntry(parts[0].config, parts[0].shard.nodeid) if parts and parts[0].shard else JobEntry()


def _read(path: Path, label: str, attempt: int, entry: JobEntry) -> StoredJob:
    try:
        record = read_record(path / "record.json")
    except FileNotFoundError:
        return StoredJob(path, label, attempt, None, entry, ["record.json is missing"])
    except (OSError, ValueError) as error:
        return StoredJob(path, label, attempt, None, entry, [f"record.json cannot be read: {error}"])
    return StoredJob(path, record.job, record.attempt, record, entry)


def raw_manifest(run_dir: Path) -> tuple[dict[str, object], Manifest, list[str]]:
    """Return ``run.json`` as plain data, as a `Manifest`, and what of it could not be read, a line each."""
    try:
        data = read_json(run_dir / "run.json")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return {}, Manifest(jobs={}), [f"run.json cannot be read: {reason}"]
    if not isinstance(data, dict):
        return {}, Manifest(jobs={}), ["run.json cannot be read: expected an object"]
    try:
        return data, Manifest.from_json(data), []
    except ValueError as error:
        return data, Manifest(jobs={}), [f"run.json cannot be read: {error}"]
