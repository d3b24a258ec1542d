"""The records: one `Episode` a finished episode, one `JobRecord` a job.

Written as plain JSON. Readers accept unknown keys (they are dropped) and missing optional ones.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, get_args

from pytest_arena.errors import shown
from pytest_arena.records.from_json import from_json

SCHEMA_VERSION = "1.0"
_READ = re.compile(r"1(\.[0-9]+)*")
"""Versions that can be read: a later one of the same major number only adds keys."""
Reduction = Literal["rate", "mean", "median", "max", "min", "sum"]
REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)
"""How the values of episodes become that of their job, see `rollout.metrics`."""
NOT_REPRODUCIBLE = "reproducible: false, because "
"""How the note begins that says why a job's episodes cannot be played again."""
_RENAMED = {"return_": "return"}
"""Field -> key of an episode's line, where they differ."""


def require_version(data: Mapping[str, Any]) -> None:
    """Raise ValueError where *data* were written with a ``schema_version`` of another major number.

    Keys may have another meaning there: what they say would be guessed.
    """
    version = data.get("schema_version", SCHEMA_VERSION)
    if not (isinstance(version, str) and _READ.fullmatch(version)):
        raise ValueError(f"schema_version: expected 1.x, which this version reads, got {shown(version)}")


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
    """What the thresholds, and the comparison with a baseline, say of a job."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    """A gate's budget is used up, and some threshold neither passed nor failed."""
    ERROR = "error"
    NONE = "none"
    """The job has no thresholds and is compared with nothing, or a test of it is not decided yet."""


@dataclass(slots=True)
class Episode:
    """One line of ``episodes.jsonl``.

    The key ``return`` is ``return_`` in Python.
    """

    job: str
    attempt: int
    """From 1; a rerun is the next one."""
    rebuild: int
    """From 0: how often the environment had been built anew in the job."""
    episode: int
    """Index in the job, from 0."""
    seed: int | None
    """Of 31 bits: the job's seed, the rebuild and the index give it, see `rollout.schedule`."""
    env_idx: int
    """Row of the vectorized environment, from 0."""
    start_step: int
    """First step, in steps of the row since the job began."""
    end_step: int
    """Last step, included."""
    length: int
    """Steps."""
    outcome: Outcome
    success_once: bool | None
    success_at_end: bool | None
    success_at_reset: bool | None
    """Whether it was a success before its first step; these three are None where that was not measured."""
    return_: float
    """Sum of the rewards of its steps, undiscounted."""
    end_reason: str
    started_at: str
    """ISO 8601, in UTC; so are the times of a job."""
    wall_time_seconds: float
    max_reward: float | None = None
    """The largest reward of a step; None where there was no step, and in lines of earlier versions."""
    time_to_success: int | None = None
    """Steps until it was a success for the first time, from 1; None where it never was."""
    initial_state: str | None = None
    """Hash of the reset observation; None where it has nothing that can be hashed."""
    metrics: dict[str, float | None] = field(default_factory=dict)
    """Metric beside the standard ones -> its value, in the unit of its definition."""
    details: dict[str, Any] = field(default_factory=dict)
    """What the simulator's own recorder says of the episode, such as the variations that it drew."""
    videos: dict[str, str] = field(default_factory=dict)
    """Camera -> film, relative to the run directory."""
    videos_note: str | None = None
    """Why the films are not what happened."""
    trajectory: str | None = None
    """Place in an HDF5 file, relative to the run directory: ``reach/dataset.hdf5#data/demo_3``."""
    rerun: str | None = None
    """Its recording for the Rerun viewer, relative to the run directory."""
    error: str | None = None
    """What cut it off, where its outcome is ``error``."""
    schema_version: str = SCHEMA_VERSION

    def to_json(self) -> dict[str, Any]:
        """Return the line as a dict with the public key names; the dicts in it are the episode's own."""
        data = {name: getattr(self, name) for name in self.__slots__}
        data["return"] = data.pop("return_")
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Episode:
        """Read a line; unknown keys are dropped.

        Raises ValueError, one line that names the key, where one is missing or of another type.
        """
        episode = from_json(cls, data, _RENAMED)
        require_version(data)
        return episode


@dataclass(slots=True)
class ThresholdResult:
    """One threshold, and what was measured against it."""

    metric: str
    expression: str
    value: float | None
    passed: bool
    interval: tuple[float, float] | None = None
    """The interval of a rate, as in `JobRecord.intervals`, else None."""
    undecided: bool = False
    """The interval contains the bound: another set of episodes could tell otherwise."""
    reason: str | None = None
    """Why there is no value, or why the value does not hold the threshold whatever it is."""
    verdict: Verdict | None = None
    """What the gate's test says; None for a threshold that is compared with the measured value."""


@dataclass(slots=True)
class InterimLook:
    """What a gate's test saw at one look: the first ``episodes`` episodes, and what it said."""

    episodes: int
    successes: int
    errors: int
    verdict: Verdict
    """NONE: go on."""
    held: bool = False
    """All episodes have a verdict that those of different starts do not have (yet)."""


@dataclass(slots=True)
class RateTest:
    """A gated threshold: its rule, fixed before the first episode, and the path to its verdict."""

    metric: str
    expression: str
    bound: float
    at_least: bool
    """Whether the rate should be at least the bound, else at most."""
    alpha: float
    """P(PASS) where the true rate does not meet the bound is at most this."""
    beta: float
    """P(FAIL) where it does is at most this."""
    looks: list[int]
    pass_at: list[int | None]
    """At each look, PASS if successes >= this; if the rate should be at most: successes + errors <= this."""
    fail_at: list[int | None]
    """At each look, FAIL if successes + errors <= this; if the rate should be at most: successes >= this."""
    path: list[InterimLook] = field(default_factory=list)
    verdict: Verdict = Verdict.NONE


@dataclass(slots=True)
class GateRecord:
    """A job's gate: all that is needed to draw its verdicts again."""

    method: str
    episodes_max: int
    look_every: int
    stop_early: bool
    inconclusive: str
    tests: list[RateTest]
    counted: int | None = None
    """The job's numbers are those of episodes 0 … counted-1; None while that is not settled."""
    different: int | None = None
    """In how many different states the counted episodes began; None where none repeats another one."""

    @property
    def fixed(self) -> bool:
        """Whether no outcome decides how many episodes there are: it neither stops nor may be extended."""
        return not self.stop_early and self.method != "e_process"


class ComparisonVerdict(StrEnum):
    """What a comparison with a baseline says."""

    REGRESSION = "regression"
    """Worse than the baseline, and not shown to be within the margin."""
    NON_INFERIOR = "non-inferior"
    """Not worse by the margin or more."""
    IMPROVED = "improved"
    INCONCLUSIVE = "inconclusive"
    NOT_COMPARABLE = "not comparable"
    """The baseline has this job, but the numbers do not speak of the same thing."""
    NOT_JUDGED = "not judged"
    """There is no baseline, or it does not have this job."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a test says against its null hypothesis."""

    test: str
    p_value: float
    """One-sided. Of a sequential test: 1 over the largest e-value on the way, at most 1."""
    e_value: float
    """After the last pair; of tests without pairs, and of score tests, 1/(2√p): see `exact_tests`."""
    reached_after: int | None
    """Pairs after which a sequential test first rejected; None where it did not, and for other tests."""
    rejects: bool


@dataclass(slots=True)
class Comparison:
    """One metric of a job against the same job of a baseline. Differences are candidate - baseline."""

    metric: str
    verdict: ComparisonVerdict
    margin: float = 0.0
    confidence: float = 0.95
    direction: str | None = None
    """``higher`` or ``lower``: which values are better."""
    rate: bool = False
    """Whether the metric is a rate."""
    baseline: str | None = None
    """The run or file that it is compared with."""
    reason: str | None = None
    """Why not all initial states agree, or why there is no comparison."""
    paired: bool | None = None
    """Whether episodes of the same index are compared, because some or all began in the same state."""
    pairs: int = 0
    """Episodes that were compared one by one."""
    matched: int | None = None
    """Pairs whose seed and initial state agree; the others are paired by their index alone."""
    repeated: int = 0
    """Pairs, or unpaired episodes, that repeat others, and are in no number: nothing is left to chance."""
    episodes: dict[str, int] = field(default_factory=dict)
    """``baseline`` and ``candidate``: measured episodes."""
    baseline_value: float | None = None
    """Over the pairs where they are paired, else over all episodes; so are ``value`` and ``difference``."""
    value: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    """Of the difference, for display; two-sided, with ``confidence``."""
    table: dict[str, int] | None = None
    """Pairs of a rate: ``both``, ``only_baseline``, ``only_candidate``, ``neither`` succeeded."""
    lost: list[int] = field(default_factory=list)
    """Episodes that counted in the baseline only, and ``gained``: in the candidate only."""
    gained: list[int] = field(default_factory=list)
    correlation: float | None = None
    worse: Evidence | None = None
    """Against "not worse"; ``better``: against "not better"; ``within_margin``: against
    "worse by the margin"."""
    better: Evidence | None = None
    within_margin: Evidence | None = None
    mcnemar_p: float | None = None
    """Conditional exact one-sided p-value of "not worse", where the number of pairs was fixed."""
    times_more: int | None = None
    """Inconclusive: so many times as many episodes, like these, would decide."""
    notes: list[str] = field(default_factory=list)
    failed: bool = False
    """Whether it fails the test."""
    xfailed: bool = False
    """It decides nothing, and the job expects no more of it."""
    family: dict[str, Any] | None = None
    """With ``arena_family_error``: what the session's comparisons together say of this one."""


def counted(gate: GateRecord | None, episodes: Iterable[Episode]) -> list[Episode]:
    """Return those of *episodes* that a job's numbers are made of: all, or those that its *gate* read."""
    limit = gate.counted if gate is not None else None
    return [episode for episode in episodes if limit is None or episode.episode < limit]


@dataclass(slots=True)
class JobRecord:
    """One ``record.json``: a job's status, numbers and files. Paths are relative to the run directory."""

    job: str
    attempt: int
    """From 1; a rerun is the next one."""
    config_sha256: str
    """Of the resolved configuration, as hexadecimal digits."""
    simulator: str
    environment: str
    """The ``id`` of the environment; ``policy``: the ``type`` of the policy."""
    policy: str
    status: Status = Status.RUNNING
    verdict: Verdict = Verdict.NONE
    nodeid: str | None = None
    """Of its test; None where pytest did not run it."""
    identity: dict[str, Any] = field(default_factory=dict)
    """Versions, policy and checkpoint hashes, rendering: what was evaluated, and with what."""
    reproducible: bool = False
    """Each episode depends on the job's seed and its own index only."""
    deterministic: bool = False
    """Nothing is left to chance in an episode: one that begins like another one repeats it.

    Decided before the first episode. Where a replay shows that an environment has not repeated itself,
    intervals and gates stay as cautious as they were, for episodes that begin alike are no independent draws.
    """
    metrics: dict[str, float | None] = field(default_factory=dict)
    """Metric -> value, in the unit of its definition: rates from 0 to 1, lengths in steps."""
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Rate -> 95 % Wilson interval; of a job that may stop early or be extended, limits that hold then."""
    unmeasured: dict[str, str] = field(default_factory=dict)
    """Metric -> why it is null."""
    definitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Metric beside the standard ones -> its `Metric.definition`."""
    thresholds: list[ThresholdResult] = field(default_factory=list)
    gate: GateRecord | None = None
    comparison: Comparison | None = None
    """With the baseline; None for a job without ``regression``."""
    reported: list[tuple[int, dict[str, float | None]]] = field(default_factory=list)
    """What the simulator computed itself, an entry a rebuild: episodes, metric -> value."""
    episodes: dict[str, int] = field(default_factory=dict)
    """``requested``, ``measured``, ``errors``; with a gate ``beyond``: finished, and not counted."""
    only: list[int] | None = None
    """The episodes that ``rollout.only`` chose: the record is of a part of the job. None: of all of it."""
    boundaries: list[dict[str, int]] = field(default_factory=list)
    """``episode``, ``env_idx``, ``start_step``, ``end_step`` of each measured episode, as in `Episode`."""
    videos: list[str] = field(default_factory=list)
    """Films of its episodes."""
    overview: dict[str, str] = field(default_factory=dict)
    """``film``, ``poster`` and ``preview`` of all films together; empty without films."""
    terminal_frame: bool | None = None
    """Whether films end with the terminal image; None without films."""
    live_films: list[int] = field(default_factory=list)
    """Episodes that the next run films live: a replay did not give them again."""
    hdf5_path: str | None = None
    record_path: str | None = None
    episodes_path: str | None = None
    notes: list[str] = field(default_factory=list)
    steps: int = 0
    """Steps that the environment took, all rows together in each, over all rebuilds."""
    timings: dict[str, float] = field(default_factory=dict)
    """What was done -> seconds."""
    inference: dict[str, Any] = field(default_factory=dict)
    """Time that the policy took, see `policies.times`."""
    error: dict[str, str] | None = None
    """``type``, ``message``, ``traceback``."""
    started_at: str | None = None
    finished_at: str | None = None
    schema_version: str = SCHEMA_VERSION

    @property
    def fixed(self) -> bool:
        """Whether no outcome decides how many episodes there are: without a gate none does."""
        return self.gate is None or self.gate.fixed

    def counted(self, episodes: Iterable[Episode]) -> list[Episode]:
        """Return those of *episodes* that the numbers are made of: all, or those that the gate read."""
        return counted(self.gate, episodes)

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain dicts and lists, which are the record's own where it has such."""
        data = {name: getattr(self, name) for name in self.__slots__}
        data["thresholds"] = [dataclasses.asdict(threshold) for threshold in self.thresholds]
        data["gate"] = None if self.gate is None else dataclasses.asdict(self.gate)
        data["comparison"] = None if self.comparison is None else dataclasses.asdict(self.comparison)
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> JobRecord:
        """Read a record; unknown keys are dropped, missing optional ones get their defaults.

        Raises ValueError, one line that names the key, where one is missing or of another type.
        """
        record = from_json(cls, data)
        require_version(data)
        steps = record.timings.pop("steps", None)  # of version 0.1, which counted them there
        if steps is not None:
            record.steps = int(steps)
        for name, definition in record.definitions.items():
            _require_definition(name, definition)
        return record


@dataclass(frozen=True, slots=True)
class _Definition:
    """What a record keeps of a metric, see `rollout.metrics.Metric.definition`."""

    unit: str = ""
    direction: str | None = None
    reduction: str = "mean"
    skips_missing: bool = False
    bounds: tuple[float, float] | None = None


def _require_definition(name: str, data: Any) -> None:
    try:
        found = from_json(_Definition, data)
    except ValueError as error:
        raise ValueError(f"definitions.{name}.{error}") from None
    if found.reduction not in REDUCTIONS:
        known = ", ".join(sorted(REDUCTIONS))
        raise ValueError(
            f"definitions.{name}.reduction: expected one of {known}, got {shown(found.reduction)}"
        )
