"""A run that is over, read to be written in another form: its jobs, and the episodes that count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_arena.errors import RunDirectoryError, first_few
from pytest_arena.records.episodes import read_episodes
from pytest_arena.records.json_files import StoredFileError, problems_in
from pytest_arena.records.manifest import Manifest
from pytest_arena.records.run_directory import LastAttempt, RunDirectory
from pytest_arena.records.schema import Episode, JobRecord, Outcome, Status

_SUCCESS = {Outcome.SUCCESS: True, Outcome.FAILURE: False}


@dataclass(frozen=True)
class FinishedJob:
    """The last attempt at a job."""

    record: JobRecord
    config: Mapping[str, Any]
    """Resolved, as ``run.json`` has it."""
    every: Sequence[Episode]
    """All episodes that ended, in the order of their index."""

    @property
    def label(self) -> str:
        """The job's name in the run."""
        return self.record.job

    @property
    def completed(self) -> bool:
        """Whether all that it was to measure is measured."""
        return self.record.status == Status.COMPLETED

    @property
    def episodes(self) -> list[Episode]:
        """The episodes that the job's numbers are made of, and those that an error cut off."""
        return self.record.counted(self.every)

    @property
    def measured(self) -> list[Episode]:
        """Those of `episodes` that no error cut off."""
        return [episode for episode in self.episodes if episode.outcome != Outcome.ERROR]

    @property
    def errors(self) -> int:
        """How many of `episodes` an error cut off."""
        return len(self.episodes) - len(self.measured)

    @property
    def seed(self) -> int | None:
        """The job's seed."""
        seed = self.at("environment", "seed")
        return seed if type(seed) is int else None

    @property
    def instruction(self) -> str | None:
        """What the job tells its policy to do, in words."""
        words = self.at("language_instruction")
        return words if isinstance(words, str) else None

    def at(self, *keys: str) -> Any:
        """Return a value of the configuration; None where there is none."""
        value: Any = self.config
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value


@dataclass(frozen=True)
class FinishedRun:
    """A run no job of which is running."""

    path: Path
    """As it was given: other tools keep the paths of files like this."""
    jobs: Sequence[FinishedJob]
    """In the order of ``run.json``; of a sharded job the whole."""
    never_ran: Sequence[str] = ()
    """Jobs without a record."""

    @property
    def name(self) -> str:
        """Name of the run directory."""
        return self.path.resolve().name

    def file(self, relative: str) -> str:
        """Return the path of a file that a record names."""
        return (self.path / relative).as_posix()


@dataclass(slots=True)
class Written:
    """What an export left."""

    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What the format cannot say, and what became of it; a line each."""


def read_finished_run(path: Path) -> FinishedRun:
    """Read the run directory at *path*.

    Raises `RunDirectoryError`, one line, where it is none, where a job of it still runs or was cut off, and
    where a file cannot be read.
    """
    run = RunDirectory(path)
    try:
        manifest = run.manifest()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RunDirectoryError(
            f"{path}: expected a run directory, with a whole run.json in it: {reason}"
        ) from None
    jobs: list[FinishedJob] = []
    never_ran = []
    for label, attempt in _last_attempts(run, manifest).items():
        if attempt.fault is not None:
            raise RunDirectoryError(attempt.fault)
        if attempt.record is None:
            never_ran.append(label)
        else:
            jobs.append(_job(run, attempt.record, manifest.configs().get(label, {})))
    return FinishedRun(path, jobs, never_ran)


def _last_attempts(run: RunDirectory, manifest: Manifest) -> dict[str, LastAttempt]:
    """Return the last attempt of each job in the order of the manifest; no shards, but their whole."""
    configs = manifest.configs()
    found = run.last_attempts(configs)
    shards = {label for label, entry in manifest.jobs.items() if entry.shard is not None}
    order = [
        *(label for label in configs if label in found),
        *(label for label in found if label not in configs),
    ]
    return {label: found[label] for label in order if label not in shards}


def _job(run: RunDirectory, record: JobRecord, config: Mapping[str, Any]) -> FinishedJob:
    if record.status == Status.RUNNING:
        raise RunDirectoryError(
            f"{run.path}: the run is not finished: job {record.job!r} is running or was cut off; go on with "
            f"it first: pytest … --arena-resume {run.path}"
        )
    path = run.directory_of(record).episodes
    try:
        with problems_in(path):
            every = read_episodes(path)
    except StoredFileError as error:
        raise RunDirectoryError(str(error)) from None
    job = FinishedJob(record, config, every)
    found = len(job.measured)
    stated = record.episodes.get("measured", found)
    if job.completed and found != stated:
        raise RunDirectoryError(
            f"{path}: expected {stated} measured episodes, as the job's record says, got {found}"
        )
    return job


def success_of(episode: Episode) -> bool | None:
    """Return whether *episode* succeeded; None where it was not measured, or an error cut it off."""
    return _SUCCESS.get(episode.outcome)


def quantity(number: int, what: str) -> str:
    """Return e.g. ``1 episode`` or ``2 episodes``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def beyond_the_gate(job: FinishedJob) -> list[str]:
    """Return a note where episodes finished after the gate had decided: they are in no number."""
    beyond = len(job.every) - len(job.episodes)
    if not beyond:
        return []
    return [f"{job.label}: {quantity(beyond, 'episode')} that the gate did not count left out"]


def incomplete_jobs(run: FinishedRun) -> list[str]:
    """Return a note for each job of *run* that has no record, and for each of which only a part ran."""
    parts = [
        f"{job.label}: a part of the job, episodes {first_few(job.record.only)} (rollout.only): what is made "
        "of it is about these alone"
        for job in run.jobs
        if job.record.only is not None
    ]
    return [*(f"{label}: never ran, so it is left out" for label in run.never_ran), *parts]
