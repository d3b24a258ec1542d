"""The `Job` model: what to evaluate, with every default filled in.

All formats load into it. What only a simulator or a policy can judge (``environment.options``, the
policy's own settings, metric names) is kept here as plain data and validated by its owner before anything is
simulated.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    model_validator,
)

from pytest_arena.errors import JobFileError
from pytest_arena.jobs.base import StrictModel as StrictModel
from pytest_arena.jobs.messages import KeyPath as KeyPath
from pytest_arena.jobs.messages import dotted, shown
from pytest_arena.jobs.parts import Shard as Shard
from pytest_arena.jobs.parts import Source as Source
from pytest_arena.jobs.regression import Regression as Regression

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
TAG_PATTERN = r"[A-Za-z_][A-Za-z0-9_]{0,99}"
MOST_EPISODES = 10_000_000
"""More episodes than that no job can have."""

VideoChoice = Literal["off", "on", "retain-on-failure"]

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


def _yaml_switch(value: Any) -> Any:
    """YAML 1.1 reads the bare words ``on`` and ``off`` as booleans; give the words back."""
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


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


def _threshold_text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f'expected a string such as ">= 0.9", got {shown(value)}')
    return value


JobName = Annotated[
    str, AfterValidator(_safe_name), Field(json_schema_extra={"pattern": f"^{NAME_PATTERN}$"})
]
Tag = Annotated[str, AfterValidator(_own_tag), Field(json_schema_extra={"pattern": f"^{TAG_PATTERN}$"})]
ThresholdText = Annotated[str, BeforeValidator(_threshold_text)]


class Camera(StrictModel):
    """Size of one camera's image, in pixels."""

    width: int = Field(default=256, ge=16, le=8192)
    height: int = Field(default=256, ge=16, le=8192)


class Environment(StrictModel):
    """What is simulated."""

    id: str = Field(min_length=1, description="environment id, as the simulator knows it")
    num_envs: int = Field(default=1, ge=1, le=1_000_000, description="parallel environments")
    seed: int = Field(default=0, ge=0, le=2**63 - 1, description="seed of the whole job")
    device: str | None = Field(default=None, description="e.g. cpu, cuda:0; the simulator's default")
    max_episode_steps: int | None = Field(default=None, ge=1, description="the horizon, in steps")
    cameras: dict[str, Camera] = Field(default_factory=dict, description="camera name -> image size")
    variations: dict[str, Any] = Field(default_factory=dict, description="simulator's variations")
    options: dict[str, Any] = Field(default_factory=dict, description="the simulator's own options")


class PolicyConfig(BaseModel):
    """Which policy acts; every key beside ``type`` is a setting of that policy."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, allow_inf_nan=False)

    type: str = Field(min_length=1, description="registered name, module:Class or module.Class")

    @property
    def settings(self) -> dict[str, Any]:
        """The policy's own settings, as typed in the job file."""
        return dict(self.model_extra or {})


class Rollout(StrictModel):
    """How long to evaluate: exactly one of ``episodes`` and ``steps``."""

    episodes: int | None = Field(
        default=None, ge=1, le=MOST_EPISODES, description="episodes, fixed before the first step"
    )
    steps: Annotated[int, Field(ge=1, le=10**12)] | Literal["policy"] | None = Field(
        default=None,
        description="steps of the vector environment; 'policy': as many as the policy has recorded",
    )
    rebuilds: int = Field(
        default=1, ge=1, le=1_000_000, description="build the environment anew this many times"
    )
    shards: int = Field(default=1, ge=1, le=10_000, description="split the episodes over this many tests")
    timeout: float | None = Field(
        default=None, gt=0, description="seconds for each phase of the job, or of a shard of it"
    )

    @model_validator(mode="after")
    def _one_limit(self) -> Rollout:
        if (self.episodes is None) == (self.steps is None):
            both = "both" if self.episodes is not None else "neither"
            raise ValueError(f"expected exactly one of episodes and steps, got {both}")
        if self.episodes is not None and self.episodes < self.rebuilds:
            raise ValueError(
                f"expected at least one episode a rebuild, got {self.episodes} episodes "
                f"for {self.rebuilds} rebuilds"
            )
        if self.shards > (self.episodes or 1):
            raise ValueError(
                f"expected at least one episode a shard, got {self.episodes or 'no'} episodes "
                f"for {self.shards} shards"
            )
        return self


class Success(StrictModel):
    """How an episode's success is read; the simulator has a default."""

    term: str | None = Field(default=None, description="a termination term of the simulator")
    info_key: str | None = Field(default=None, description="a key of the step's info")
    callable: str | None = Field(default=None, description="module:function(env) -> (N,) bool")
    when: Literal["once", "at_end"] = Field(default="once", description="at any step, or at the last")

    @model_validator(mode="after")
    def _one_source(self) -> Success:
        given = [key for key in ("term", "info_key", "callable") if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"expected at most one of term, info_key and callable, got {', '.join(given)}")
        return self


class VideoCodec(StrictModel):
    """How films are encoded: H.264 in any case."""

    name: Literal["libx264", "h264_nvenc", "auto"] = Field(
        default="libx264",
        description="libx264: on the CPU; h264_nvenc: on an NVIDIA GPU; auto: the latter where it works",
    )
    quality: int = Field(default=23, ge=0, le=51, description="crf, or cq of nvenc: less is better")
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"] | None = Field(
        default=None,
        description="of libx264 alone: slower makes smaller files; default: a veryfast that is faster still",
    )


class Record(StrictModel):
    """What is recorded beside the numbers."""

    video: Annotated[VideoChoice | None, BeforeValidator(_yaml_switch)] = Field(
        default=None, description="which episodes keep their videos"
    )
    cameras: tuple[str, ...] | None = Field(
        default=None, strict=False, description="only these cameras; default: all"
    )
    overview: bool = Field(default=True, description="put the films side by side in overview.mp4")
    trajectory: bool = Field(default=False, description="record what the policy saw and did, in dataset.hdf5")
    video_environments: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        default=None, strict=False, description="only these rows, from 0; default: all, live at most 64"
    )
    video_every: int = Field(default=1, ge=1, description="film every k-th episode: 0, k, 2k …")
    video_fps: int | None = Field(
        default=None, ge=1, le=240, description="frames a second when played; default: real time, at most 60"
    )
    video_size: Camera | None = Field(default=None, description="scale films to this size")
    video_codec: VideoCodec = VideoCodec()


class Gate(StrictModel):
    """Turns the thresholds of rates into sequential tests with stated error rates."""

    confidence: float = Field(
        default=0.95,
        ge=0.5,
        le=0.999999,
        description="a true rate that misses its threshold passes in at most 1 - confidence of runs",
    )
    beta: float | None = Field(
        default=None,
        ge=1e-6,
        le=0.5,
        description="a true rate that meets it fails in at most this share of runs",
    )
    episodes_max: int = Field(
        ge=1, le=100_000, description="the budget; rollout.episodes where it is not given"
    )
    look_every: int = Field(default=10, ge=1, le=100_000, description="episodes between two decisions")
    stop_early: bool = Field(default=True, description="stop as soon as all tests are decided")
    inconclusive: Literal["fail", "pass", "xfail"] = Field(
        default="fail", description="what an undecided job is to pytest"
    )
    method: Literal["spending", "e_process"] = Field(
        default="spending", description="spending: one budget; e_process: runs that may be extended"
    )

    @property
    def alpha(self) -> float:
        """How often a rate that misses its threshold may pass."""
        return round(1.0 - self.confidence, 12)


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
        """Let a gate's budget stand for the episodes, or the episodes for a budget that is not given."""
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
        """The job as one test runs it: a shard has no verdict of its own, the whole job has it."""
        if self._shard is None:
            return self
        return self.model_copy(update={"thresholds": {}, "gate": None, "regression": None})

    @property
    def wanted_episodes(self) -> range:
        """The episodes to run; empty for a job that is limited by steps."""
        total = self.rollout.episodes or 0
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
