"""``run.json``: what a run was begun with, as those who read it again need it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_arena.errors import shown
from pytest_arena.records.from_json import from_json
from pytest_arena.records.schema import require_version

if TYPE_CHECKING:
    from pytest_arena.jobs.model import Job

_SECTIONS = (
    "environment",
    "gate",
    "metrics",
    "policy",
    "record",
    "regression",
    "rollout",
    "success",
    "thresholds",
)
"""Keys of a job's configuration that hold others, or nothing."""


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """Which part of which job an entry is."""

    index: int
    count: int
    label: str
    """Of the whole job."""
    nodeid: str


@dataclass(frozen=True, slots=True)
class JobEntry:
    """A job, or a shard of one."""

    config: dict[str, Any] = field(default_factory=dict)
    """Resolved, of the whole job."""
    nodeid: str = ""
    file: str | None = None
    """Where the job is written, and in which ``line``, from 1."""
    line: int | None = None
    config_sha256: str | None = None
    environment_group: str | None = None
    """Jobs with the same one can share an environment, those with the same ``launch_group`` a process."""
    launch_group: str | None = None
    steps_at_most: int | None = None
    """Steps over all rows."""
    policy_files: dict[str, str] = field(default_factory=dict)
    """Key of the policy -> SHA-256 of the file that it names."""
    policy_source: str | None = None
    """SHA-256 of the policy's code."""
    shard: ShardEntry | None = None

    def job(self) -> Job:
        """Return the job, or the shard; a ValueError of pydantic's where this version knows no such job."""
        from pytest_arena.jobs.model import Job  # pydantic, which a session without jobs does not pay for

        job = Job.model_validate(self.config)
        return job if self.shard is None else job.shards()[self.shard.index]


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """Jobs whose mean has thresholds."""

    tag: str
    nodeid: str
    thresholds: dict[str, str]
    jobs: dict[str, list[str]]
    """Name of a job -> the labels that it has in the run."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The whole of it; what is not named here may be anything."""

    jobs: dict[str, JobEntry]
    """Label -> job, or shard of one."""
    groups: list[GroupEntry] = field(default_factory=list)
    resumed: list[dict[str, Any]] = field(default_factory=list)
    """The later sessions that worked on the run: ``command``, ``started_at``."""
    versions: dict[str, Any] = field(default_factory=dict)
    revision: dict[str, Any] | None = None
    exit_status: int | None = None
    """Of the session; None where it has not ended."""
    never_ran: list[str] = field(default_factory=list)
    """Node ids of tests that were lost."""
    skipped: list[str] | None = None
    """Node ids of tests that were skipped; None where that is not known."""
    troubles: list[str] = field(default_factory=list)
    """What kept the session from success, beside tests that failed."""

    @classmethod
    def from_json(cls, data: Any) -> Manifest:
        """Read it; unknown keys are dropped.

        Raises ValueError, one line that names the key, where one is missing or of another type.
        """
        manifest = from_json(cls, data)
        require_version(data)
        for label, entry in manifest.jobs.items():
            for key in _SECTIONS:
                section = entry.config.get(key)
                if not (section is None or isinstance(section, dict)):
                    raise ValueError(f"jobs.{label}.config.{key}: expected an object, got {shown(section)}")
        return manifest

    def configs(self) -> dict[str, dict[str, Any]]:
        """Return label -> resolved configuration of all jobs, the shards and their wholes too."""
        configs = {}
        for label, entry in self.jobs.items():
            configs[label] = entry.config
            if entry.shard is not None:
                configs[entry.shard.label] = entry.config
        return configs

    def tests_of(self, labels: Iterable[str]) -> list[str]:
        """Return the node ids of the tests that run *labels*: of a sharded job, those of its shards."""
        wanted = set(labels)
        return [
            entry.nodeid
            for label, entry in self.jobs.items()
            if label in wanted or (entry.shard is not None and entry.shard.label in wanted)
        ]
