"""What a history keeps of a run: when and with what it ran, and a few numbers of each of its jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from pytest_arena.records.from_json import from_json
from pytest_arena.records.json_files import read_json
from pytest_arena.records.manifest import JobEntry, Manifest
from pytest_arena.records.run_directory import JobDirectory, RunDirectory
from pytest_arena.records.schema import Status, Verdict, require_version

MEASURING = (
    "simulator",
    "environment",
    "policy",
    "rollout",
    "success",
    "metrics",
    "gate",
    "language_instruction",
)
"""Keys of a job that bear on what is measured; the others name it, judge it or film it."""
_NOT_MEASURING = {"rollout": ("shards", "timeout")}
"""Keys in these that do not: which process runs an episode, and how long it may take."""


@dataclass(frozen=True, slots=True)
class ThresholdSummary:
    """A threshold, and what was measured against it."""

    metric: str
    expression: str
    value: float | None
    passed: bool


@dataclass(frozen=True, slots=True)
class JobSummary:
    """The last attempt at a job in one run."""

    label: str
    folder: str
    """Name of its folder in the run, which is the address of its part of the run's page too."""
    status: Status
    verdict: Verdict
    config_sha256: str
    """Of the resolved configuration."""
    measuring: dict[str, str]
    """Key of `MEASURING` that says something -> short hash of what it says, without names of files."""
    policy: str
    """The ``type`` of the policy."""
    policy_sha256: str | None = None
    """Of the policy's files and code: the hash of the file where it is one; None where none is known."""
    success_rate: float | None = None
    interval: tuple[float, float] | None = None
    """Of the success rate, as the record has it."""
    thresholds: list[ThresholdSummary] = field(default_factory=list)
    measured: int = 0
    """Episodes; ``requested``: those that the job was to measure, 0 where steps limit it."""
    requested: int = 0
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run."""

    name: str
    """Of its directory."""
    started_at: str = ""
    """ISO 8601, in UTC; so is ``finished_at``, which is None where the run is not over, or was cut off."""
    finished_at: str | None = None
    exit_status: int | None = None
    commit: str | None = None
    """Of git; ``dirty``: whether files differed from it."""
    dirty: bool = False
    versions: dict[str, Any] = field(default_factory=dict)
    machine: str | None = None
    jobs: list[JobSummary] = field(default_factory=list)
    """In the order of ``run.json``, sharded ones as a whole. Without jobs that never ran, and without those
    of which only some episodes were asked for: they are no measurement of the job."""
    notes: list[str] = field(default_factory=list)
    """What could not be read, a line each."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """The keys of ``run.json`` beside those of `Manifest`."""

    started_at: str = ""
    finished_at: str | None = None
    exit_status: int | None = None
    machine: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Record:
    """The keys of ``record.json`` that a history needs: to check all of them would take longer."""

    job: str
    attempt: int
    config_sha256: str
    policy: str
    status: Status
    verdict: Verdict
    metrics: dict[str, float | None] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    thresholds: list[ThresholdSummary] = field(default_factory=list)
    episodes: dict[str, int] = field(default_factory=dict)
    only: list[int] | None = None
    identity: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)


def summarize_run(path: Path) -> RunSummary:
    """Read the run directory at *path*.

    A record that cannot be read costs its job and gives a note. Raises OSError, and ValueError, one line,
    where ``run.json`` cannot be read.
    """
    data = read_json(path / "run.json")
    manifest, facts = Manifest.from_json(data), from_json(_Facts, data)
    revision, node = manifest.revision or {}, facts.machine.get("node")
    commit = revision.get("commit")
    jobs, notes = [], []
    for label, entry in _whole_jobs(manifest):
        try:
            job = _summarize_job(RunDirectory(path), label, entry)
        except (OSError, ValueError) as error:
            notes.append(f"{path.name}/{label}: {getattr(error, 'strerror', None) or error}")
        else:
            jobs += [] if job is None else [job]
    return RunSummary(
        path.name,
        facts.started_at,
        facts.finished_at,
        facts.exit_status,
        commit if isinstance(commit, str) else None,
        bool(revision.get("dirty")),
        manifest.versions,
        node if isinstance(node, str) else None,
        jobs,
        notes,
    )


def _whole_jobs(manifest: Manifest) -> Iterator[tuple[str, JobEntry]]:
    """Yield each job with its label; of a sharded one the whole."""
    found = {}
    for label, entry in manifest.jobs.items():
        found[label if entry.shard is None else entry.shard.label] = entry
    yield from found.items()


def _summarize_job(run: RunDirectory, label: str, entry: JobEntry) -> JobSummary | None:
    """Return the last attempt at the job *label*; None where there is none, or of some episodes only."""
    for directory in reversed(run.attempts(label)):
        record = _read(directory)
        if record.job != label:  # the folder "reach.2" of the job "reach.2" is no attempt at "reach"
            continue
        if record.attempt != directory.attempt:
            raise ValueError(f"{directory.path.name}/record.json: expected the attempt {directory.attempt}")
        if record.only is not None:
            return None
        return JobSummary(
            label,
            directory.path.name,
            record.status,
            record.verdict,
            record.config_sha256,
            _measuring(entry.config, entry.policy_files),
            record.policy,
            _policy_sha256(entry, record.identity.get("policy")),
            record.metrics.get("success_rate"),
            record.intervals.get("success_rate"),
            record.thresholds,
            record.episodes.get("measured", 0),
            record.episodes.get("requested", 0),
            record.timings.get("total_seconds"),
        )
    return None


def _read(directory: JobDirectory) -> _Record:
    try:
        data = read_json(directory.record, whole=False)
        record = from_json(_Record, data)
        require_version(data)
    except FileNotFoundError:
        raise ValueError(f"{directory.path.name}/record.json is missing") from None
    except ValueError as error:
        raise ValueError(f"{directory.path.name}/record.json: {error}") from None
    return record


def _measuring(config: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, str]:
    """Return key -> hash of what the job's *config* says of the measurement.

    Keys without a value are left out, so that a key which a later version adds changes nothing. The name of
    a policy's file is no part of it: *files* has what is in the file, and `JobSummary.policy_sha256` tells.
    """
    found = {}
    for key in MEASURING:
        value = config.get(key)
        if key == "policy":
            value = _without_files(value, "", files)
        elif isinstance(value, Mapping):
            value = {k: v for k, v in value.items() if k not in _NOT_MEASURING.get(key, ())}
        if (said := _said(value)) is not None:
            found[key] = _hash(said)[:12]
    return found


def _without_files(value: Any, name: str, files: Mapping[str, str]) -> Any:
    """Return a policy's settings, or the one called *name*, without those that *files* names."""
    if name in files:
        return None
    if isinstance(value, Mapping):
        return {k: _without_files(v, f"{name}.{k}" if name else str(k), files) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_files(part, f"{name}[{index}]", files) for index, part in enumerate(value)]
    return value


def _said(value: Any) -> Any:
    """Return *value* without the keys that say nothing; None where nothing is left."""
    if isinstance(value, Mapping):
        kept = {key: said for key, part in value.items() if (said := _said(part)) is not None}
        return kept or None
    return None if value in ([], "") else value


def _policy_sha256(entry: JobEntry, identity: Any) -> str | None:
    """Return the hash of the policy's files and of its code: that of the file, where one file is all."""
    own = identity if isinstance(identity, Mapping) else {}
    hashes = dict(entry.policy_files)
    if entry.policy_source is not None:
        hashes["source"] = entry.policy_source
    if not hashes:  # made by a fixture, or in an app that was not running when run.json was written
        hashes = {key: own[key] for key in ("sha256", "source_sha256") if isinstance(own.get(key), str)}
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    return _hash(hashes) if hashes else None


def _hash(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()
