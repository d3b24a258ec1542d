"""What ``run.json`` holds of a run's jobs, as those who read it again need it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pytest_arena.records.schema import require_version
from pytest_arena.records.typed import require_types, shown


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
    nodeid: str = ""
    config_sha256: str | None = None
    environment_group: str | None = None
    launch_group: str | None = None
    steps_at_most: int | None = None
    policy_files: dict[str, str] = field(default_factory=dict)
    shard: ShardEntry | None = None


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

    jobs: dict[str, JobEntry] = field(default_factory=dict)
    groups: list[GroupEntry] = field(default_factory=list)
    resumed: list[dict[str, Any]] = field(default_factory=list)


_SECTIONS = ("environment", "gate", "policy", "record", "regression", "rollout", "success", "thresholds")
"""Keys of a job's configuration that hold others, or nothing."""


def require_manifest(data: Any) -> dict[str, Any]:
    """Return *data*; ValueError, one line that names the key, where it is no manifest."""
    require_types(Manifest, data, {})
    require_version(data)
    for label, entry in data.get("jobs", {}).items():
        for key in _SECTIONS:
            section = entry.get("config", {}).get(key)
            if not (section is None or isinstance(section, dict)):
                raise ValueError(f"jobs.{label}.config.{key}: expected an object, got {shown(section)}")
    found: dict[str, Any] = data
    return found
