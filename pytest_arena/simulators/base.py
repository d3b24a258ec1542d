"""The simulator seam: what every adapter gives, whatever its simulator's habits are.

Adapters hide the three autoreset styles, buffers that are reused in place and stale extras. Above this seam
every array is owned by its receiver, and every row that ended says how it ended.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import gymnasium
import numpy as np
from pydantic import BaseModel

from pytest_arena.jobs.model import Job
from pytest_arena.simulators.array_types import (
    Action,
    BoolArray,
    FloatArray,
    IndexArray,
    Observation,
    SuccessArray,
)
from pytest_arena.simulators.cameras import Cameras

UNMEASURED = -1
"""In a `SuccessArray`: the environment does not say. 0 is False, 1 is True."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an environment can do; the loop adapts to it and the record names it."""

    autoreset: Literal["manual", "next_step", "same_step"]
    """Who resets a row that ended: the caller; the simulator in the next step; or within the same step."""
    terminal_observation: bool = False
    """`Step.terminal_observation` is given."""
    terminal_frame: bool = False
    """An episode's last image can be had: `Cameras.frames` right after the step that ended it shows it, or,
    under same-step autoreset, `Cameras.last_frames` does."""
    partial_reset: bool = False
    """`reset(env_ids=…)` may name some rows only."""
    episode_seeds: bool = False
    """A row's seed, and the index that `SimEnv.set_episodes` names, alone decide its next episode."""
    deterministic: bool = False
    """The same seed and actions give the same episode again, bit for bit."""


@dataclass(frozen=True, slots=True)
class EpisodeEnd:
    """A row whose episode ended in this step."""

    env_idx: int
    """The row, from 0."""
    reason: str
    """``success``, ``terminated``, ``time_out``, or the simulator's own name of the term that fired."""
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    """Numbers that the simulator itself has of the episode, for its line."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else it says of the episode, as plain JSON, for its line."""


@dataclass(frozen=True, slots=True)
class Reset:
    """What a reset returns."""

    observation: Observation
    """(N, …): all rows; those that were not reset keep their latest observation."""
    success: SuccessArray
    """(N,) int8: success that holds already, 1, 0 or `UNMEASURED`; meaningful in the rows just reset."""
    info: Mapping[str, FloatArray] = field(default_factory=dict)
    """As `Step.info`, of the reset states."""


@dataclass(frozen=True, slots=True)
class Step:
    """One transition of all rows. Every array is owned by the receiver."""

    observation: Observation
    """(N, …): act on this. Under same-step autoreset, rows that ended already hold their next episode."""
    reward: FloatArray
    """(N,) float64: of this step, in the environment's own unit."""
    terminated: BoolArray
    """(N,) bool: the episode ended by what happened in it."""
    truncated: BoolArray
    """(N,) bool: the episode ended for another reason, such as its time limit."""
    valid: BoolArray
    """(N,) bool. False: no transition happened in this row (parked after its end, or a next-step reset)."""
    success: SuccessArray
    """(N,) int8, 1, 0 or `UNMEASURED`: success of the state that this step reached; for a next-step reset
    row, of the reset state."""
    ends: tuple[EpisodeEnd, ...] = ()
    """One for each valid row that terminated or was truncated."""
    terminal_observation: Observation | None = None
    """(N, …): what this step reached, before any reset; None unless a row ended and this is known."""
    info: Mapping[str, FloatArray] = field(default_factory=dict)
    """What `SimEnv.watch_info` asked for, of the state that this step reached: key -> (N,) float64, NaN where
    the environment does not say it; of a next-step reset row, of the reset state."""


class DatasetWriter(ABC):
    """The simulator's own recorder, which writes episodes to an HDF5 file, each when its row is reset."""

    @abstractmethod
    def open(self, path: Path) -> None:
        """Write the episodes that follow to *path*, which must not exist; before a rollout's first reset."""

    @abstractmethod
    def keep(self, env_ids: IndexArray, keep: bool) -> None:
        """Say whether the episodes that these rows are in belong into the file; at first none does."""

    @abstractmethod
    def close(self) -> None:
        """Close the file, if one is open."""


class SimEnv(ABC):
    """A running environment with N rows.

    Subclasses set the attributes below in their constructor. In ``manual`` mode a row that ended is parked:
    `step` leaves it alone and marks it not ``valid`` until `reset` names it.
    """

    num_envs: int
    """N, the number of rows."""
    capabilities: Capabilities
    single_action_space: gymnasium.Space[Any]
    """Of one row's action."""
    single_observation_space: gymnasium.Space[Any]
    """Of one row's observation."""
    step_dt: float = 0.0
    """Seconds of simulated time a step; 0.0 where the simulator has no notion of it."""
    max_episode_steps: int | None = None
    """After how many steps an episode is truncated; None: not known."""
    device: str = "cpu"
    """Where observations are, as torch names it."""
    cameras: Cameras | None = None
    """What makes images of the rows; None: nothing does."""
    dataset: DatasetWriter | None = None
    """What writes episodes to a file in the simulator's own way; None: nothing does."""
    task_description: str | None = None
    """The task's own language instruction."""
    spent: bool = False
    """It has run the one rollout that it can run: the next one needs a new environment."""
    identity: Mapping[str, Any] = MappingProxyType({})
    """Versions and choices worth keeping in the record (renderer, scene quality, …)."""
    clips_actions: bool = False
    """It takes an action outside its space for the nearest one within: no note counts such."""
    discrete_columns: bool = False
    """Actions of a ``Discrete`` space may have the shape (N, 1), too."""

    @property
    def unwrapped(self) -> Any:
        """The simulator's own object, for policies that want it."""
        return self

    def begin(self, episodes: int | None) -> None:
        """A rollout of *episodes* episodes (None: as many as its steps allow) begins: its reset follows."""

    def watch_info(self, keys: Mapping[str, str]) -> None:
        """Give the numbers under these keys of the environment's info from now on, in `Step.info`.

        Called before each rollout. The value of a key is the place in the job that names it, for an error
        where an episode ends and no info has had the key; empty: then it may be missing.
        """

    def set_episodes(self, env_ids: IndexArray, episodes: Sequence[int]) -> None:
        """Take note of which episodes of the job (their indices, from 0) rows *env_ids* begin.

        Called before each `reset` in which they begin, and under next-step autoreset before the step that
        resets them. For an environment whose initial states are numbered.
        """

    @abstractmethod
    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> Reset:
        """Begin new episodes in *env_ids* (None: all rows); *seeds* has one seed a named row."""

    @abstractmethod
    def step(self, actions: Action) -> Step:
        """Advance every row by one step; *actions* has N rows, those of parked rows are ignored."""

    def state(self, env_ids: IndexArray) -> Mapping[str, Any]:
        """Return the simulator's state of K rows, for trajectories: name -> (K, …) array, or nested so.

        Empty where it cannot be had.
        """
        return {}

    def metrics(self) -> Mapping[str, float | None]:
        """Return what the simulator computes itself over the episodes since it was made.

        None: it has this metric, and could not compute it. Called once, after a rollout with episodes.
        """
        return {}

    def close(self) -> None:
        """Free everything; calling it twice is harmless."""


def reseeded(job: Job, rebuild: int) -> Job:
    """Return *job* with the seed of a *rebuild*: the job's own plus its number, from 0."""
    environment = job.environment.model_copy(update={"seed": job.environment.seed + rebuild})
    return job.model_copy(update={"environment": environment}) if rebuild else job


class NoOptions(BaseModel, extra="forbid"):
    """For a simulator without options of its own."""


class Simulator(ABC):
    """One simulator family. Importable, and able to validate jobs, without the simulator installed."""

    name: ClassVar[str]
    Options: ClassVar[type[BaseModel]] = NoOptions
    """Validates ``environment.options``."""
    device_mask: ClassVar[bool] = True
    """Whether ``CUDA_VISIBLE_DEVICES`` pins it to a GPU. Else the mask is lifted before `launch`, and the
    GPU is named by index (`assigned_device`): a renderer may count devices that the mask does not hide."""
    app_first: ClassVar[bool] = False
    """Whether modules that a job names, a policy's above all, may need the app: then none of them is imported
    before `launch`."""
    policy_names: ClassVar[frozenset[str]] = frozenset()
    """Policies that the simulator's own registry has."""
    seeds_rows: ClassVar[bool] = True
    """Whether rows can be seeded one by one; else ``environment.seeds`` is refused."""
    gives_info: ClassVar[bool] = False
    """Whether its environments do what `SimEnv.watch_info` asks for; else a job that asks is refused."""
    named_cameras_only: ClassVar[bool] = False
    """Whether an environment has the cameras of ``environment.cameras``, and never others."""

    def validate(self, job: Job) -> None:
        """Raise `JobFileError` for what only this simulator can judge. Imports nothing heavy."""

    def metric_names(self, job: Job) -> frozenset[str] | None:
        """Names that `SimEnv.metrics` will report; None where only a run can tell."""
        return frozenset()

    def environment_key(self, job: Job) -> Hashable:
        """Jobs with equal keys can use one environment, one after the other."""
        environment = job.environment.model_dump(mode="json", exclude={"seed", "seeds"})
        parts = {"environment": environment, "success": job.success.model_dump(mode="json")}
        return (self.name, json.dumps(parts, sort_keys=True))

    def rebuilt(self, job: Job, rebuild: int) -> Job:
        """Return *job* as the environment of *rebuild* (from 0) is made from; here it is always the same."""
        return job

    def writes_dataset(self, job: Job) -> bool:
        """Whether the simulator writes the job's HDF5 file itself, with `SimEnv.dataset`."""
        return False

    def policy_class(self, name: str) -> type[Any]:
        """Return the class of one of `policy_names`; the app runs."""
        raise NotImplementedError(f"{self.name} has no policy {name!r}")

    def launch_key(self, job: Job) -> Hashable:
        """Jobs with different keys cannot share a process."""
        return None

    def serves(self, launched: Hashable, wanted: Hashable) -> bool:
        """Whether an app started with the key *launched* can run jobs with the key *wanted*."""
        return launched == wanted

    def launch(self, job: Job) -> None:
        """Start the app, once a process. Raises `MissingDependencyError` with the pip command."""

    @abstractmethod
    def make(self, job: Job) -> SimEnv:
        """Build the job's environment; `launch` has been called."""

    def shutdown(self, exit_code: int) -> None:
        """End the app. May end the process: called last, with pytest's exit status."""


@dataclass(slots=True)
class Parking:
    """Which rows of a manual-reset environment are parked: they have ended, and wait for their reset."""

    parked: BoolArray
    """(N,)"""
    any: bool = field(default=True)

    @classmethod
    def all_of(cls, num_envs: int) -> Parking:
        """Every row waits: the state before the first reset."""
        return cls(np.ones(num_envs, dtype=np.bool_))

    def release(self, env_ids: IndexArray) -> None:
        """These rows run again."""
        self.parked[env_ids] = False
        self.any = bool(self.parked.any())

    def park(self, rows: BoolArray) -> None:
        """These rows ended."""
        self.parked |= rows
        self.any = bool(self.parked.any())
