"""The `Job` model: what to evaluate, with every default filled in.

All formats load into it. What only a simulator or a policy can judge (``environment.options``, the
policy's own settings, metric names) is kept here as plain data and validated by its owner before anything is
simulated.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from pytest_arena.errors import JobFileError, shown
from pytest_arena.jobs.messages import KeyPath, dotted, one_line, place
from pytest_arena.jobs.sections import (
    ENVIRONMENT_SEEDS,
    Environment,
    Gate,
    InfoMetric,
    PolicyConfig,
    Record,
    Regression,
    Rollout,
    SeedsFrom,
    StrictModel,
    Success,
    ThresholdText,
)

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
TAG_PATTERN = r"[A-Za-z_][A-Za-z0-9_]{0,99}"

PYTEST_MARKS = frozenset(
    {
        "arena",
        "filterwarnings",
        "parametrize",
        "skip",
        "skipif",
        "tryfirst",
        "trylast",
        "usefixtures",
        "xfail",
    }
)
"""Marks that mean something to pytest or to this plugin: a tag must not skip or excuse a job."""


def _safe_name(name: str) -> str:
    if not is_safe_name(name):
        words = "1 to 100 letters, digits, '.', '_' and '-', a letter or digit first"
        raise ValueError(f"expected a name of {words}, got {shown(name)}")
    return name


def _own_tag(tag: str) -> str:
    if not re.fullmatch(TAG_PATTERN, tag):
        words = "1 to 100 letters, digits and '_', not a digit first"
        raise ValueError(f"expected a tag of {words}, got {shown(tag)}")
    if tag in PYTEST_MARKS:
        raise ValueError(f"expected a tag of your own, {shown(tag)} is a mark that pytest acts on")
    return tag


JobName = Annotated[
    str, AfterValidator(_safe_name), Field(json_schema_extra={"pattern": f"^{NAME_PATTERN}$"})
]
Tag = Annotated[str, AfterValidator(_own_tag), Field(json_schema_extra={"pattern": f"^{TAG_PATTERN}$"})]


@dataclass(frozen=True)
class Shard:
    """Which part of a job's episodes a test runs."""

    index: int
    count: int

    @property
    def suffix(self) -> str:
        """What its names end with, e.g. ``-shard0of4``."""
        return f"-shard{self.index}of{self.count}"

    def episodes(self, total: int) -> range:
        """Return this shard's episodes of 0 … total-1: contiguous, larger shares first."""
        share, extra = divmod(total, self.count)
        start = self.index * share + min(self.index, extra)
        return range(start, start + share + (self.index < extra))


@dataclass(frozen=True)
class Source:
    """Where a job was written: the file, and the line and the user's name for each key."""

    file: Path
    locate: Callable[[KeyPath], tuple[int | None, str]]
    overridden: tuple[tuple[KeyPath, str], ...] = ()
    """Keys that the command line has set, each with the text that set it; the last one wins."""
    notes: tuple[str, ...] = ()
    """What a reader of the job's numbers should know of how it came about."""

    def problem(self, key: KeyPath, expectation: str) -> JobFileError:
        """Return the error ``file:line: key: expectation`` for *key* of this job.

        Where the command line has set the key, the error names ``--arena-set`` in place of the file.
        """
        line, name = self.locate(key)
        for changed, text in reversed(self.overridden):
            if key[: len(changed)] == changed:
                below = dotted(key[len(changed) :])
                return JobFileError(f"{_option(text)}{below and f': {below}'}: {expectation}")
        for changed, text in reversed(self.overridden):
            if changed[: len(key)] == key:
                return JobFileError(f"{_option(text)}: {place(self.file, line)}: {name}: {expectation}")
        name = f"{name}: " if name else ""
        return JobFileError(f"{place(self.file, line)}: {name}{expectation}")


def split_episodes(episodes: int, parts: int) -> list[range]:
    """Split episodes 0 … M-1 as evenly as possible, larger shares first: 5 over 2 parts → 3, 2."""
    return [Shard(part, parts).episodes(episodes) for part in range(parts)]


def _option(text: str) -> str:
    return f"--arena-set {one_line(text)}"


class Job(StrictModel):
    """One evaluation, complete: every default is filled in."""

    name: JobName
    simulator: str = Field(min_length=1, description="a registered simulator")
    environment: Environment
    policy: PolicyConfig
    rollout: Rollout
    success: Success = Success()
    thresholds: dict[str, ThresholdText] = Field(
        default_factory=dict, description='metric -> ">= 0.9", "< 25", "0.2..0.4" or ">= 95%"'
    )
    metrics: dict[JobName, InfoMetric] = Field(
        default_factory=dict, description="metrics of the job's own: name -> what of the step's info it is"
    )
    gate: Gate | None = Field(default=None, description="test the thresholds of rates")
    regression: Regression | None = Field(default=None, description="compare with the baseline")
    record: Record = Record()
    language_instruction: str | None = Field(default=None, description="overrides the task's own")
    tags: tuple[Tag, ...] = Field(default=(), strict=False, description="become pytest marks")

    _source: Source | None = PrivateAttr(default=None)
    _shard: Shard | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _one_budget(cls, data: Any) -> Any:
        """Take a gate's budget as the number of episodes, or the episodes as a budget that is not given."""
        if not isinstance(data, dict) or not isinstance(gate := data.get("gate"), dict):
            return data
        rollout = data.get("rollout", {})
        if not isinstance(rollout, dict) or rollout.get("steps") is not None:
            return data
        budget = gate.get("episodes_max")
        if budget is None:
            return {**data, "gate": {**gate, "episodes_max": rollout.get("episodes")}}
        if type(budget) is int and budget > 0:  # else it is refused, and once is enough
            return {**data, "rollout": {**rollout, "episodes": budget}}
        return data

    @model_validator(mode="after")
    def _gate_counts_episodes(self) -> Job:
        if self.gate is not None and self.rollout.steps is not None:
            raise ValueError("gate: expected rollout.episodes beside it, got rollout.steps")
        return self

    @model_validator(mode="after")
    def _a_seed_for_each_episode(self) -> Job:
        seeds, episodes = self.environment.seeds, self.rollout.episodes
        if isinstance(seeds, SeedsFrom):
            last = seeds.start + (episodes or 1) - 1
            if last >= ENVIRONMENT_SEEDS:
                raise ValueError(
                    f"environment.seeds.start: expected seeds up to {ENVIRONMENT_SEEDS - 1}, got {last} for "
                    "the last episode"
                )
        elif seeds is not None and episodes is None:
            raise ValueError("environment.seeds: expected rollout.episodes beside a list, got rollout.steps")
        elif seeds is not None and len(seeds) != episodes:
            raise ValueError(
                f"environment.seeds: expected {episodes}, one for each of rollout.episodes, got {len(seeds)}"
            )
        return self

    @property
    def source(self) -> Source | None:
        """Where the job was written; None for a job made in Python."""
        return self._source

    @property
    def shard(self) -> Shard | None:
        """Which part of the episodes is meant; None for all."""
        return self._shard

    @property
    def suffix(self) -> str:
        """What tells this part's names from those of the whole job."""
        return "" if self._shard is None else self._shard.suffix

    def shards(self) -> list[Job]:
        """Return one job a shard, or the job itself where it has a single one."""
        count = self.rollout.shards
        if count == 1:
            return [self]
        parts = [self.model_copy() for _ in range(count)]
        for index, part in enumerate(parts):
            part._shard = Shard(index, count)
        return parts

    @property
    def as_run(self) -> Job:
        """The job as one test runs it: a part has no verdict of its own, the whole job has it."""
        if self._shard is None and self.rollout.only is None:
            return self
        return self.model_copy(update={"thresholds": {}, "gate": None, "regression": None})

    @property
    def wanted_episodes(self) -> Sequence[int]:
        """The episodes to run, in their order; empty for a job that is limited by steps."""
        total = self.rollout.episodes or 0
        if self.rollout.only is not None:
            return self.rollout.only
        return range(total) if self._shard is None else self._shard.episodes(total)

    def written_in(self, source: Source) -> Job:
        """Remember where this job was written; returns the job itself."""
        self._source = source
        return self

    def problem(self, key: KeyPath, expectation: str) -> JobFileError:
        """Return the error for a wrong value under *key*, with file and line where they are known."""
        if self._source is not None:
            return self._source.problem(key, expectation)
        return JobFileError(f"{dotted(('jobs', self.name, *key))}: {expectation}")

    def path(self, text: str) -> Path:
        """Return the file that a setting names: relative to the job file, else to the working directory."""
        beside = self._source.file.parent / text if self._source is not None else Path(text)
        return beside if beside.exists() else Path(text)

    def config(self) -> dict[str, Any]:
        """Return the resolved configuration as plain JSON types."""
        return self.model_dump(mode="json")

    def sha256(self) -> str:
        """Return the hash of the resolved configuration's canonical JSON (sorted keys, no spaces)."""
        text = json.dumps(self.config(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


def is_safe_name(name: str) -> bool:
    """Whether *name* can be a job's name, and so a folder's."""
    return re.fullmatch(NAME_PATTERN, name) is not None
