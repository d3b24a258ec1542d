"""What is on disk of one attempt at a job, read for a page: what cannot be read is a note."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from pytest_arena.errors import first_few, shortened
from pytest_arena.records.json_files import read_json
from pytest_arena.records.manifest import JobEntry, Manifest
from pytest_arena.records.run_directory import RunDirectory, attempt_folder, is_label, read_record
from pytest_arena.records.schema import JobRecord, Status

NEVER_RAN = "never ran"
UNREADABLE = "unreadable"
SKIPPED = "skipped"
"""Of a job that never ran because its test was skipped."""
NOT_JOINED = "not joined"
"""Of a sharded job of which some shards ran, and which has no verdict."""
COUNTED = {
    "crashed": "crashed",
    "error": "with an error",
    UNREADABLE: "unreadable",
    NEVER_RAN: "never ran",
    NOT_JOINED: "not joined",
    "interrupted": "interrupted",
    "running": "not ended",
    "fail": "failed",
    "inconclusive": "inconclusive",
    SKIPPED: "skipped",
    "none": "without verdict",
    "pass": "passed",
}
"""Verdict or status of a job -> what is said beside a number of such jobs; the worst first."""


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
    attempts: Sequence[str] = ()
    """Folders of all attempts at the job, in their order."""
    shards: Sequence[str] = ()
    """Labels of its shards."""
    groups: Sequence[str] = ()
    """Tags of the groups that it is in."""
    overrides: Sequence[str] = ()
    """The texts of ``--arena-set`` of the run, for whichever job."""
    video: str | None = None
    """What ``--arena-video`` of the run was; None where it was not given."""
    skipped: bool = False
    """Whether its test was skipped, or those of all its shards."""
    versions: Mapping[str, object] = field(default_factory=dict)
    """Of the packages that the run was begun with."""

    @property
    def folder(self) -> str:
        """Name of its folder: the address of the job in the page."""
        return os.fsencode(self.path.name).decode(errors="replace")

    @property
    def verdict(self) -> str:
        """The verdict of a completed job, else its status; without a record one of the words above."""
        if self.record is not None:
            completed = self.record.status == Status.COMPLETED
            return str(self.record.verdict if completed else self.record.status)
        if self.skipped and not (self.path / "record.json").exists():
            return SKIPPED
        if self.path.exists():
            return UNREADABLE
        began = any(self.path.with_name(shard).exists() for shard in self.shards)
        return NOT_JOINED if began else NEVER_RAN

    @property
    def is_shard(self) -> bool:
        """Whether it is a part of a job that has a row of its own."""
        return self.entry.shard is not None


def stored_jobs(
    run_dir: Path, manifest: Manifest, options: Mapping[str, object] = MappingProxyType({})
) -> Iterator[StoredJob]:
    """Yield every attempt of a run, one at a time: jobs in the order of *manifest*, then those it lacks.

    Args:
        run_dir: The run directory.
        manifest: Its ``run.json``; without jobs where there is none.
        options: Its ``options``, as they are.

    Yields:
        The attempts at each job in their order, of a sharded job before those of its shards. A job that has
        no folder is one that never ran.
    """
    run, seen = RunDirectory(run_dir), set[str]()
    texts = options.get("overrides")
    overrides = [str(text) for text in texts] if isinstance(texts, list) else []
    shards, groups = _shards(manifest), _groups(manifest)
    for label in _labels(manifest):
        directories = [
            d
            for d in run.attempts(label)
            if d.path.name == label or (d.path.name not in manifest.jobs and d.path.name not in shards)
        ]
        known = StoredJob(
            attempt_folder(run_dir, label, 1),
            label,
            1,
            None,
            _entry(manifest, label, shards.get(label, ())),
            attempts=[directory.path.name for directory in directories],
            shards=shards.get(label, ()),
            groups=groups.get(label, ()),
            overrides=overrides,
            video=video if isinstance(video := options.get("video"), str) else None,
            skipped=_was_skipped(manifest, label, shards.get(label, ())),
            versions=manifest.versions,
        )
        if not directories:
            yield replace(known, notes=_not_joined(known))
        for directory in directories:
            seen.add(directory.path.name)
            yield _read(replace(known, path=directory.path, attempt=directory.attempt))
    for path in sorted(run_dir.glob("*/record.json")):
        if (folder := path.parent).name not in seen and not folder.name.startswith("."):
            yield _read(StoredJob(folder, folder.name, 1, None, JobEntry()))


def _was_skipped(manifest: Manifest, label: str, shards: Sequence[str]) -> bool:
    """Whether the test of a job was skipped, or of a run that does not say so, not lost: it succeeded."""
    if manifest.skipped is None:
        return manifest.exit_status == 0
    entries = [manifest.jobs[part] for part in shards or [label] if part in manifest.jobs]
    return bool(entries) and all(entry.nodeid in manifest.skipped for entry in entries)


def _not_joined(job: StoredJob) -> list[str]:
    """Return why a job of which shards ran has no verdict; nothing of one that never ran."""
    if job.verdict != NOT_JOINED:
        return []
    there = sum(job.path.with_name(shard).exists() for shard in job.shards)
    return [f"no verdict: {there} of {len(job.shards)} shards ran"]


def _labels(manifest: Manifest) -> Iterable[str]:
    """Return the labels of all jobs in their order; one that is shared out has no entry of its own."""
    labels: dict[str, None] = {}
    for label, entry in manifest.jobs.items():
        if entry.shard is not None:
            labels.setdefault(entry.shard.label)
        labels.setdefault(label)
    return labels


def _shards(manifest: Manifest) -> dict[str, list[str]]:
    """Return label of a sharded job -> labels of its shards."""
    found: dict[str, list[str]] = {}
    for label, entry in manifest.jobs.items():
        if entry.shard is not None:
            found.setdefault(entry.shard.label, []).append(label)
    return found


def _groups(manifest: Manifest) -> dict[str, list[str]]:
    """Return label -> tags of the groups that the job is in."""
    found: dict[str, list[str]] = {}
    for group in manifest.groups:
        for labels in group.jobs.values():
            for label in labels:
                found.setdefault(label, []).append(group.tag)
    return found


def _entry(manifest: Manifest, label: str, shards: Sequence[str]) -> JobEntry:
    """Return what the manifest says of the job *label*: of a sharded job, what its first shard says."""
    if (entry := manifest.jobs.get(label)) is not None or not shards:
        return entry or JobEntry()
    first = manifest.jobs[shards[0]]
    return JobEntry(
        first.config,
        first.shard.nodeid if first.shard else "",
        first.file,
        first.line,
        first.config_sha256,
        policy_files=first.policy_files,
        policy_source=first.policy_source,
    )


def _read(job: StoredJob) -> StoredJob:
    """Return *job*, of which its folder is known, with its record, or a note why it has none."""
    try:
        record = read_record(job.path / "record.json")
    except FileNotFoundError:
        return replace(job, notes=["record.json is missing"])
    except (OSError, ValueError) as error:
        return replace(job, notes=[f"record.json cannot be read: {error}"])
    if attempt_folder(job.path.parent, record.job, record.attempt) != job.path:
        return replace(job, notes=["record.json is that of another attempt, whose folder has another name"])
    return replace(job, label=record.job, attempt=record.attempt, record=record)


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
        manifest = Manifest.from_json(data)
    except ValueError as error:
        return data, Manifest(jobs={}), [f"run.json cannot be read: {error}"]
    foreign = [label for label, entry in manifest.jobs.items() if not _is_of_a_job(label, entry)]
    if not foreign:
        return data, manifest, []
    kept = {label: entry for label, entry in manifest.jobs.items() if label not in foreign}
    names = first_few(map(shortened, foreign), 3)
    note = f"run.json: expected names of jobs' folders, got {names}, which are left out"
    return data, replace(manifest, jobs=kept), [note]


def _is_of_a_job(label: str, entry: JobEntry) -> bool:
    return is_label(label) and (entry.shard is None or is_label(entry.shard.label))
