"""The sections of a job: those of its keys that hold mappings, and the keys within."""

from __future__ import annotations

import math
from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pytest_arena.errors import did_you_mean, shown
from pytest_arena.jobs.threshold import Threshold

MOST_EPISODES = 10_000_000
"""More episodes than that no job can have."""
ENVIRONMENT_SEEDS = 2**31
"""How many seeds environments see, from 0: many simulators keep a seed in a C int."""

VideoChoice = Literal["off", "on", "retain-on-failure"]


def _yaml_switch(value: Any) -> Any:
    """Return ``on`` or ``off`` for a boolean: YAML 1.1 reads the bare words as one."""
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


def _threshold_text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f'expected a string such as ">= 0.9", got {shown(value)}')
    return value


ThresholdText = Annotated[str, BeforeValidator(_threshold_text)]


def _parsed(text: str) -> str:
    Threshold.parse(text)
    return text


RangeText = Annotated[ThresholdText, AfterValidator(_parsed)]
"""A threshold whose text is checked: nothing else is needed to know what it means."""


class StrictModel(BaseModel):
    """Base of all settings that users type: strict types, no unknown keys, immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Camera(StrictModel):
    """Size of one camera's image, in pixels."""

    width: int = Field(default=256, ge=16, le=8192)
    height: int = Field(default=256, ge=16, le=8192)


class SeedsFrom(StrictModel):
    """Consecutive seeds: that of episode k is ``start`` + k."""

    start: int = Field(ge=0, lt=ENVIRONMENT_SEEDS, description="the seed of episode 0")


def _seeds(value: Any) -> Any:
    """Check what is typed as seeds; a union of types would report each of its members."""
    expected = "expected a list of seeds, one an episode, or {start: SEED}"
    if isinstance(value, SeedsFrom) or value is None:
        return value
    if isinstance(value, dict):
        wrong = [key for key in value if key != "start"]
        if wrong or "start" not in value:
            hint = did_you_mean(str(wrong[0]), ["start"]) if wrong else ""
            raise ValueError(f"{expected}, got {shown(value)}{hint}")
        given = [value["start"]]
    elif isinstance(value, (list, tuple)):
        given = [*value]
    else:
        raise ValueError(f"{expected}, got {shown(value)}")
    for seed in given:
        if type(seed) is not int or not 0 <= seed < ENVIRONMENT_SEEDS:
            raise ValueError(f"expected seeds from 0 to {ENVIRONMENT_SEEDS - 1}, got {shown(seed)}")
    return value


class Environment(StrictModel):
    """What is simulated."""

    id: str = Field(min_length=1, description="environment id, as the simulator knows it")
    num_envs: int = Field(default=1, ge=1, le=1_000_000, description="parallel environments")
    seed: int = Field(default=0, ge=0, le=2**63 - 1, description="seed of the whole job")
    seeds: Annotated[
        SeedsFrom | Annotated[tuple[int, ...], Field(strict=False)] | None, BeforeValidator(_seeds)
    ] = Field(
        default=None,
        description="the seeds of the episodes: a list, or {start: S} for S + the episode's index; "
        "default: computed from seed",
    )
    device: str | None = Field(default=None, description="e.g. cpu, cuda:0; the simulator's default")
    max_episode_steps: int | None = Field(default=None, ge=1, description="the horizon, in steps")
    cameras: dict[str, Camera] = Field(default_factory=dict, description="camera name -> image size")
    variations: dict[str, Any] = Field(default_factory=dict, description="simulator's variations")
    options: dict[str, Any] = Field(default_factory=dict, description="the simulator's own options")

    def given_seed(self, episode: int) -> int | None:
        """Return the seed that ``seeds`` gives an episode, by its index from 0; None: ``seed`` decides."""
        if isinstance(self.seeds, SeedsFrom):
            return self.seeds.start + episode
        return None if self.seeds is None else self.seeds[episode]


class PolicyConfig(BaseModel):
    """Which policy acts; every key beside ``type`` is a setting of that policy."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, allow_inf_nan=False)

    type: str = Field(min_length=1, description="registered name, module:Class or module.Class")

    @property
    def settings(self) -> dict[str, Any]:
        """The policy's own settings, as typed in the job file."""
        return dict(self.model_extra or {})


def _chosen_episodes(value: Any) -> Any:
    """Check what is typed as a choice of episodes, and put it in order: any order means the same."""
    if value is None:
        return value
    expected = "expected a list of episodes, by their index from 0, such as [3]"
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(f"{expected}, got {shown(value)}")
    for episode in value:
        if type(episode) is not int or episode < 0:
            raise ValueError(f"{expected}, got {shown(episode)} in it")
    [(most, times)] = Counter(value).most_common(1)
    if times > 1:
        raise ValueError(
            f"expected each episode once, got {most} {'twice' if times == 2 else f'{times} times'}"
        )
    return sorted(value)


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
    only: Annotated[
        Annotated[tuple[int, ...], Field(strict=False)] | None, BeforeValidator(_chosen_episodes)
    ] = Field(
        default=None,
        description="run these episodes of the job alone, by their index from 0: a part, without a verdict",
    )
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

    @model_validator(mode="after")
    def _a_part(self) -> Rollout:
        if self.only is None:
            return self
        if self.episodes is None:
            raise ValueError("expected episodes beside only, got steps, which decide how many there are")
        if max(self.only) >= self.episodes:
            raise ValueError(f"only: expected episodes from 0 to {self.episodes - 1}, got {max(self.only)}")
        if self.shards > 1:
            raise ValueError(f"expected shards: 1 beside only, which is one test, got {self.shards}")
        return self


class Success(StrictModel):
    """How an episode's success is read; the simulator has a default."""

    term: str | None = Field(default=None, description="a termination term of the simulator")
    info_key: str | None = Field(default=None, description="a key of the step's info that is true or false")
    callable: str | None = Field(default=None, description="module:function(env) -> (N,) bool")
    reward: RangeText | None = Field(default=None, description='what a step\'s reward must be, as in ">= 4"')
    info: str | None = Field(
        default=None, min_length=1, description="a key of the step's info that is a number, see at_least"
    )
    at_least: float | None = Field(default=None, description="the least success of info")
    at_most: float | None = Field(default=None, description="the most of info that is a success")
    length: RangeText | None = Field(
        default=None, description='how many steps an episode must have, as in ">= 200"'
    )
    when: Literal["once", "at_end"] = Field(default="once", description="at any step, or at the last")

    @model_validator(mode="after")
    def _one_source(self) -> Success:
        sources = ("term", "info_key", "callable", "reward", "info", "length")
        given = [key for key in sources if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(
                f"expected at most one of {', '.join(sources[:-1])} and {sources[-1]}, got {', '.join(given)}"
            )
        bounds = [bound for bound in (self.at_least, self.at_most) if bound is not None]
        if self.info is not None and not bounds:
            raise ValueError(
                "expected at_least or at_most beside info; info_key is for what is true or false"
            )
        if self.info is None and bounds:
            raise ValueError("expected info beside at_least and at_most: the key whose number they bound")
        if bounds != sorted(bounds):
            raise ValueError(f"expected at_least up to at_most, got {bounds[0]:g} and {bounds[1]:g}")
        if self.length is not None and self.when == "once" and Threshold.parse(self.length).holds(1):
            raise ValueError(
                f"expected a length that a first step does not have, or when: at_end, got {self.length!r}"
            )
        return self

    @property
    def rule(self) -> Threshold | None:
        """What the reward, the number in the info or the length must be; None where the simulator says it."""
        if self.info is not None:
            low = -math.inf if self.at_least is None else self.at_least
            high = math.inf if self.at_most is None else self.at_most
            return Threshold(f"{low:g}..{high:g}", low, high)
        text = self.reward if self.reward is not None else self.length
        return None if text is None else Threshold.parse(text)


class InfoMetric(StrictModel):
    """A metric of the job's own, from a number in the step's info."""

    info: str = Field(min_length=1, description="a key of the step's info that is a number")
    reduce: Literal["max", "min", "mean", "last", "sum"] = Field(
        default="last", description="how the steps of an episode become its value"
    )
    over_episodes: Literal["mean", "median", "max", "min", "sum", "rate"] = Field(
        default="mean", description="how the episodes' values become the job's; rate: they are 0 or 1"
    )
    direction: Literal["higher", "lower"] | None = Field(
        default=None, description="which values are better, for a comparison with a baseline"
    )


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
    rerun: Annotated[VideoChoice | None, BeforeValidator(_yaml_switch)] = Field(
        default=None, description="an .rrd an episode, for the Rerun viewer; which episodes keep theirs"
    )
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


class Regression(StrictModel):
    """How a metric is compared with that of a baseline (``--arena-baseline``)."""

    metric: str = Field(default="success_rate", min_length=1, description="the metric that is compared")
    margin: float | None = Field(
        default=None,
        ge=0,
        description="how much worse is still as good, in the metric's unit; 0.05 for a rate, else 0",
    )
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1, description="1 - the error rate of each claim: worse, better, not worse"
    )
    bounds: tuple[float, float] | None = Field(
        default=None, strict=False, description="lowest and highest value that an episode can have"
    )
    inconclusive: Literal["pass", "fail", "xfail"] = Field(
        default="pass", description="what becomes of the test where the comparison decides nothing"
    )

    @model_validator(mode="after")
    def _real_bounds(self) -> Regression:
        if self.bounds is not None and self.bounds[0] >= self.bounds[1]:
            raise ValueError(f"expected bounds as [lowest, highest], got {list(self.bounds)}")
        return self
