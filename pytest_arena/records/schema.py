"""The records: one `Episode` a finished episode, one `JobRecord` a job.

Written as plain JSON. Readers accept unknown keys (they are dropped) and missing optional ones.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SCHEMA_VERSION = "1.0"


class Outcome(StrEnum):
    """How an episode ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    UNKNOWN = "unknown"
    """The environment does not say whether it was a success."""


class Status(StrEnum):
    """What became of a job."""

    RUNNING = "running"
    COMPLETED = "completed"
    ERROR = "error"
    INTERRUPTED = "interrupted"
    CRASHED = "crashed"
    """Its process died; the record was made from the episodes on disk."""


class Verdict(StrEnum):
    """What the thresholds say of a job."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"
    NONE = "none"
    """The job has no thresholds."""


@dataclass(slots=True)
class Episode:
    """One line of ``episodes.jsonl``.

    ``start_step`` and ``end_step`` are inclusive and count the steps of environment ``env_idx`` in the job;
    ``return`` is the sum of rewards (``return_`` in Python).
    """

    job: str
    attempt: int
    rebuild: int
    episode: int
    seed: int | None
    env_idx: int
    start_step: int
    end_step: int
    length: int
    outcome: Outcome
    success_once: bool | None
    success_at_end: bool | None
    success_at_reset: bool | None
    return_: float
    end_reason: str
    started_at: str
    wall_time_seconds: float
    time_to_success: int | None = None
    metrics: dict[str, float | None] = field(default_factory=dict)
    videos: dict[str, str] = field(default_factory=dict)
    videos_note: str | None = None
    """Why the films are not what happened."""
    trajectory: str | None = None
    error: str | None = None
    schema_version: str = SCHEMA_VERSION

    def to_json(self) -> dict[str, Any]:
        """Return the line as a dict with the public key names."""
        data = dataclasses.asdict(self)
        data["return"] = data.pop("return_")
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Episode:
        """Read a line; unknown keys are dropped. Raises TypeError where a required key is missing."""
        renamed = {("return_" if key == "return" else key): value for key, value in data.items()}
        known = {f.name for f in dataclasses.fields(cls)}
        fields = {key: value for key, value in renamed.items() if key in known}
        fields["outcome"] = Outcome(fields["outcome"])
        return cls(**fields)


@dataclass(slots=True)
class ThresholdResult:
    """One threshold, and what was measured against it."""

    metric: str
    expression: str
    value: float | None
    passed: bool
    interval: tuple[float, float] | None = None
    """95 % Wilson interval of a rate, else None."""
    undecided: bool = False
    """The interval contains the bound: another set of episodes could tell otherwise."""
    reason: str | None = None
    """Why there is no value."""


@dataclass(slots=True)
class JobRecord:
    """One ``record.json``: a job's status, numbers and files. Paths are relative to the run directory."""

    job: str
    attempt: int
    config_sha256: str
    simulator: str
    environment: str
    policy: str
    status: Status = Status.RUNNING
    verdict: Verdict = Verdict.NONE
    nodeid: str | None = None
    identity: dict[str, Any] = field(default_factory=dict)
    """Versions, policy and checkpoint hashes, rendering: what was evaluated, and with what."""
    reproducible: bool = False
    """Each episode depends on the job's seed and its own index only."""
    metrics: dict[str, float | None] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    unmeasured: dict[str, str] = field(default_factory=dict)
    """Metric -> why it is null."""
    definitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Metric beside the standard ones -> its ``unit``, ``direction``, ``reduction`` and ``skips_missing``."""
    thresholds: list[ThresholdResult] = field(default_factory=list)
    reported: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    """What the simulator computed itself, an entry a rebuild: episodes, metric -> value."""
    episodes: dict[str, int] = field(default_factory=dict)
    """``requested``, ``measured``, ``errors``."""
    boundaries: list[dict[str, int]] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)
    terminal_frame: bool | None = None
    """Whether films end with the terminal image; None without films."""
    live_films: list[int] = field(default_factory=list)
    """Episodes that the next run films live: a replay did not give them again."""
    hdf5_path: str | None = None
    record_path: str | None = None
    episodes_path: str | None = None
    notes: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    error: dict[str, str] | None = None
    """``type``, ``message``, ``traceback``."""
    started_at: str | None = None
    finished_at: str | None = None
    schema_version: str = SCHEMA_VERSION

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain dicts and lists."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> JobRecord:
        """Read a record; unknown keys are dropped, missing optional ones get their defaults."""
        known = {f.name for f in dataclasses.fields(cls)}
        fields = {key: value for key, value in data.items() if key in known}
        fields["status"] = Status(fields.get("status", "running"))
        fields["verdict"] = Verdict(fields.get("verdict", "none"))
        keys = {f.name for f in dataclasses.fields(ThresholdResult)}
        fields["thresholds"] = [
            ThresholdResult(**{k: v for k, v in t.items() if k in keys}) for t in fields.get("thresholds", [])
        ]
        return cls(**fields)
