"""The run directory: made once, shared by all workers, never deleted."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from pytest_arena.records.files import (
    DATASET,
    name_first,
    write_json,
)
from pytest_arena.records.json_files import read_json
from pytest_arena.records.manifest import Manifest
from pytest_arena.records.schema import JobRecord, Status

RUN_FILES = ("run.json", "report.json", "metrics.json", "index.html")
"""Names in a run directory that no job's folder can have."""
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")

RESULTS = "arena-results"
"""Name of the folder of runs where no other is asked for."""
LATEST = "latest"
"""The link beside the runs that leads to the newest one."""
METRICS_EPISODES = "episodes_measured"
"""Beside the metrics of a job in ``metrics.json``: over how many episodes they were measured."""
METRICS_ONLY = "only"
"""Beside them, in place of that number: which episodes ran, of a job whose ``rollout.only`` chose some."""
METRICS_STATUS = "status"
"""Beside them: the job's status; numbers of one that did not complete are no measurement."""
METRICS_VERDICT = "verdict"
"""And what the thresholds say."""
_PROBE = 65_536
"""Bytes that a new run directory must have room for: about a manifest and a record."""
RUNS_READ = 10
"""Earlier runs that are looked at."""


@dataclass(frozen=True)
class JobDirectory:
    """One attempt's folder."""

    path: Path
    attempt: int
    resumed: bool = False
    """An earlier session began it."""

    @property
    def record(self) -> Path:
        """Path of ``record.json``."""
        return self.path / "record.json"

    @property
    def episodes(self) -> Path:
        """Path of ``episodes.jsonl``."""
        return self.path / "episodes.jsonl"

    @property
    def dataset(self) -> Path:
        """Path of ``dataset.hdf5``, which is there where trajectories were recorded."""
        return self.path / DATASET


@dataclass(frozen=True)
class RunDirectory:
    """One session's folder."""

    path: Path

    @classmethod
    def create(cls, base: Path) -> RunDirectory:
        """Make a new run directory under *base*: UTC time and a random suffix, claimed exclusively."""
        base.mkdir(parents=True, exist_ok=True)
        while True:
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
            path = base / f"{stamp}-{secrets.token_hex(2)}"
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                return cls(path)

    def require_writable(self) -> None:
        """Raise OSError where no file can be written here, for want of space above all."""
        probe = self.path / f".probe.{secrets.token_hex(4)}.tmp"
        try:
            probe.write_bytes(bytes(_PROBE))
        finally:
            probe.unlink(missing_ok=True)

    @property
    def manifest_path(self) -> Path:
        """Path of ``run.json``."""
        return self.path / "run.json"

    def publish_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write ``run.json`` unless another worker was first."""
        draft = self.path / f".run.json.{secrets.token_hex(4)}.tmp"
        write_json(draft, manifest)
        try:
            with contextlib.suppress(FileExistsError):
                name_first(draft, self.manifest_path)
                self._become_latest()
        finally:
            draft.unlink(missing_ok=True)

    def _become_latest(self) -> None:
        """Let the link `LATEST` lead to this run, where links can be made and nothing else has the name.

        In a folder that was named for the purpose there is none: a script that takes all that lies there for
        runs would count one twice.
        """
        if self.path.parent.name != RESULTS:
            return
        latest = self.path.with_name(LATEST)
        draft = latest.with_name(f".{LATEST}.{secrets.token_hex(4)}.tmp")
        with contextlib.suppress(OSError):
            if latest.is_symlink() or not latest.exists():
                draft.symlink_to(self.path.name)
                try:
                    os.replace(draft, latest)
                finally:
                    draft.unlink(missing_ok=True)

    def manifest(self) -> Manifest:
        """Read ``run.json``; OSError, or ValueError, one line, where it is none."""
        return Manifest.from_json(read_json(self.manifest_path))

    def manifest_if_sound(self) -> Manifest:
        """Read ``run.json``; one without jobs where there is none, or none that can be read."""
        try:
            return self.manifest()
        except (OSError, ValueError):
            return Manifest(jobs={})

    def finish_manifest(self, **facts: Any) -> None:
        """Add what is known only at the end; OSError where it cannot be written."""
        with contextlib.suppress(FileNotFoundError, ValueError):  # no worker got as far as to write it
            write_json(self.manifest_path, {**read_json(self.manifest_path), **facts})

    def claim(self, label: str) -> JobDirectory:
        """Make the folder of the next attempt at *label*: ``reach``, then ``reach.2``, ``reach.3`` …"""
        attempt = 1
        while True:
            path = attempt_folder(self.path, label, attempt)
            with contextlib.suppress(FileExistsError):
                path.mkdir(parents=True)
                return JobDirectory(path, attempt)
            attempt += 1

    def reopen(self, label: str) -> tuple[JobDirectory, JobRecord] | None:
        """Return the last attempt at *label* that an earlier session left here, to go on with it."""
        if not (records := self.records_of(label)):
            return None
        return replace(self.directory_of(records[-1]), resumed=True), records[-1]

    def directory_of(self, record: JobRecord) -> JobDirectory:
        """Return the folder of the attempt whose *record* was read here."""
        return JobDirectory(attempt_folder(self.path, record.job, record.attempt), record.attempt)

    def attempts(self, label: str) -> list[JobDirectory]:
        """Return the folders that are named like attempts at *label*, in their order."""
        found: list[JobDirectory] = []
        while (folder := attempt_folder(self.path, label, len(found) + 1)).exists():
            found.append(JobDirectory(folder, len(found) + 1))
        return found

    def records_of(self, label: str) -> list[JobRecord]:
        """Return the records of the attempts at *label*, in their order."""
        records = (record for record in self._records(label, f"{label}.*") if record.job == label)
        return sorted(records, key=lambda record: record.attempt)

    def records(self) -> list[JobRecord]:
        """Return the records of all attempts, in order of their start."""
        return self._records("*")

    def latest(self) -> dict[str, JobRecord]:
        """Return the last attempt's record of every job."""
        return _last(self.records())

    def last_attempts(self, labels: Iterable[str]) -> dict[str, LastAttempt]:
        """Return what is on disk of the last attempt at each job: at *labels*, and at those with a folder.

        In a run without a manifest, a folder is named like its job.
        """
        every = self.records()
        records = _last(every)
        owners = {self.directory_of(record).path.name: record.job for record in every}
        known, folders = {*labels, *records}, {path.name for path in self._folders("*")}
        numbered = {name for name in folders if name.rpartition(".")[0] in {*folders, *known}}
        found = {}
        for label in [*records, *sorted({*known, *(folders - numbered)} - records.keys())]:
            # The folder of a job named "reach.2" is none of the attempts at "reach".
            own = [
                directory
                for directory in self.attempts(label)
                if owners.get(name := directory.path.name, name if name in known else label) == label
            ]
            if own and own[-1].path.name not in owners:
                found[label] = LastAttempt(fault=_why_no_record(own[-1].record))
            else:
                found[label] = self._last_attempt(records.get(label) if own else None)
        return found

    def _last_attempt(self, record: JobRecord | None) -> LastAttempt:
        if record is None or record.status != Status.COMPLETED:
            return LastAttempt(record)
        directory = self.directory_of(record)
        before = attempt_folder(self.path, record.job, record.attempt - 1)
        if record.attempt > 1 and not before.exists():
            fault = f"expected the attempt before it beside it, there is no {before.name}"
            return LastAttempt(record, f"{directory.record}: {fault}")
        if not directory.episodes.is_file():
            return LastAttempt(record, f"{directory.episodes}: the job's episodes.jsonl is missing")
        return LastAttempt(record)

    def earlier(self) -> Iterator[RunDirectory]:
        """Yield the directories beside this one that were not begun after it, the newest first."""
        try:
            names = sorted((path.name for path in self.path.parent.iterdir()), reverse=True)
        except OSError:
            return
        # Names begin with the time; of those begun in the same second, none is earlier than another.
        now = self.path.name.rpartition("-")[0]
        for name in names:
            path = self.path.with_name(name)
            # What is no folder is the page of all runs, and their index.
            if name not in (LATEST, self.path.name) and name.rpartition("-")[0] <= now and path.is_dir():
                yield RunDirectory(path)

    def _folders(self, *patterns: str) -> Iterator[Path]:
        """Yield the folders with a ``record.json``; hidden ones are nobody's attempt."""
        for pattern in patterns:
            for path in self.path.glob(f"{pattern}/record.json"):
                if not path.parent.name.startswith("."):
                    yield path.parent

    def _records(self, *patterns: str) -> list[JobRecord]:
        found = []
        for folder in self._folders(*patterns):
            # What is no record counts as none: of a killed run, or of somebody's editor. Nor does one that
            # was copied here from the folder of another attempt: it would pass for the last one.
            with contextlib.suppress(ValueError, OSError):
                record = read_record(folder / "record.json")
                if self.directory_of(record).path == folder:
                    found.append(record)
        return sorted(found, key=lambda record: (record.started_at or "", record.job))


@dataclass(frozen=True)
class LastAttempt:
    """What is on disk of the last attempt at a job; without record and fault, the job has no folder."""

    record: JobRecord | None = None
    fault: str | None = None
    """What is wrong with its files, with the path of one: its numbers cannot be believed."""


def read_record(path: Path) -> JobRecord:
    """Read the ``record.json`` at *path*, in the folder of an attempt.

    Where the record and the episodes are, the folder tells, whatever the record says. Raises OSError, and
    ValueError, one line without the path, where it is no record.
    """
    record, folder = JobRecord.from_json(read_json(path)), path.parent.name
    record.record_path, record.episodes_path = f"{folder}/record.json", f"{folder}/episodes.jsonl"
    return record


def _last(records: Iterable[JobRecord]) -> dict[str, JobRecord]:
    latest: dict[str, JobRecord] = {}
    for record in records:
        if record.job not in latest or record.attempt > latest[record.job].attempt:
            latest[record.job] = record
    return latest


def _why_no_record(path: Path) -> str:
    if not path.exists():
        return f"{path}: the job's record is missing"
    try:
        read_record(path)
    except (OSError, ValueError) as error:
        return f"{path}: the job's record cannot be read: {error}"
    return f"{path}: the job's record is another one's"


def earlier_record(run_dir: Path, label: str, attempt: int) -> JobRecord | None:
    """Return the record that was made of a job last before this attempt.

    Args:
        run_dir: Directory of this run. Up to `RUNS_READ` earlier runs beside it are looked at as well.
        label: The job's label, in this run and in the others.
        attempt: Number of this attempt, from 1: only lower ones of this run count.

    Returns:
        The first that can be read: of this run's attempts from the last to the first, then of those of each
        earlier run, the newest run first. None where there is none.
    """
    run = RunDirectory(run_dir)
    directories = [directory for directory in run.attempts(label) if directory.attempt < attempt][::-1]
    for earlier in islice(run.earlier(), RUNS_READ):
        directories += reversed(earlier.attempts(label))
    for directory in directories:
        with contextlib.suppress(ValueError, OSError):
            return read_record(directory.record)
    return None


def is_label(name: str) -> bool:
    """Whether a job's folder can have this *name*, which somebody else may have written."""
    return bool(_LABEL.fullmatch(name)) and name not in RUN_FILES


def attempt_folder(run: Path, label: str, attempt: int) -> Path:
    """Return the folder of an attempt, which need not exist.

    Args:
        run: Path of the run directory.
        label: The job's label.
        attempt: Number of the attempt, from 1.

    Returns:
        ``reach`` in *run* for the first attempt at ``reach``, then ``reach.2``, ``reach.3`` …
    """
    return run / (label if attempt == 1 else f"{label}.{attempt}")
