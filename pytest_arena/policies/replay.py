"""Replays a recorded dataset: each episode gets the actions that were recorded of it.

Reads what `record.trajectory` writes, and datasets of robomimic and Isaac Lab, whose layout it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pytest_arena.errors import EvaluationError, first_few, shown
from pytest_arena.jobs.model import Job, Shard
from pytest_arena.jobs.sections import StrictModel
from pytest_arena.policies.base import Policy
from pytest_arena.policies.untrained import idle_actions
from pytest_arena.records.hdf5_reader import DatasetError, DatasetReader
from pytest_arena.records.hdf5_writer import dataset_names, demo_name
from pytest_arena.records.schema import Episode, Outcome
from pytest_arena.simulators.array_types import Action, IndexArray, Observation
from pytest_arena.simulators.arrays import by_part, leaves
from pytest_arena.simulators.base import SimEnv

_NOTHING = -1
"""In place of an episode: the dataset has none for this row."""


class ReplaySettings(StrictModel):
    """Settings of the policy ``replay``."""

    dataset: str | None = Field(default=None, description="HDF5 file with the groups data/demo_0, …")
    episode_name: str | None = Field(
        default=None,
        description="replay this group, such as demo_3, in every episode; default: demo_<episode>",
    )
    replay_file_path: str | None = Field(
        default=None, description="IsaacLab-Arena's setting: as dataset, with its first group as default"
    )

    @model_validator(mode="after")
    def _one_file(self) -> ReplaySettings:
        if (self.dataset is None) == (self.replay_file_path is None):
            both = "both" if self.dataset is not None else "neither"
            raise ValueError(f"expected exactly one of dataset and replay_file_path, got {both}")
        return self

    @property
    def file(self) -> Path:
        """The dataset's path."""
        return Path(self.dataset or self.replay_file_path or "")

    def only(self, dataset: DatasetReader) -> int | None:
        """Return the one episode of *dataset* that is replayed in every episode; None: each has its own.

        Raises ValueError for a name that is not in the dataset.
        """
        if self.episode_name is None:
            return None if self.dataset is not None else dataset.episodes[0]
        match = re.fullmatch(r"demo_(\d+)", self.episode_name)
        if match is None or int(match[1]) not in dataset.episodes:
            raise ValueError(f"expected one of {first_few(map(demo_name, dataset.episodes))} in {self.file}")
        return int(match[1])


@dataclass(frozen=True, slots=True)
class _Track:
    """The recorded actions of all rows, or a part of them."""

    name: str
    idle: NDArray[Any]
    """What follows a recording's end."""
    blocks: NDArray[Any]
    """(N, BLOCK, …)"""


class ReplayPolicy(Policy):
    """Gives each row the recorded actions of its episode, and after their end zeros, or what is nearest.

    Episodes are told apart by their index, so a replay does not depend on ``num_envs``. It reproduces what
    was recorded where the simulator is deterministic; `review` tells where it did not.
    """

    Settings = ReplaySettings
    file_settings = ("dataset", "replay_file_path")
    reproducible = True

    BLOCK = 64
    """Actions read at a time: memory does not grow with the length of an episode."""

    @classmethod
    def check(cls, settings: ReplaySettings, job: Job) -> None:
        """Check that the dataset has every episode of the job, recorded in its environment from its seed."""
        key = "dataset" if settings.dataset is not None else "replay_file_path"
        try:
            dataset = DatasetReader(settings.file)
        except ValueError as error:
            raise job.problem(("policy", key), str(error)) from None
        try:
            cls._check(settings, dataset, job)
            only = settings.only(dataset)
            _require_one_shape(
                dataset, [only] if only is not None else job.wanted_episodes or dataset.episodes
            )
        except DatasetError as error:
            raise job.problem(("policy", key), str(error)) from None
        finally:
            dataset.close()

    @classmethod
    def _check(cls, settings: ReplaySettings, dataset: DatasetReader, job: Job) -> None:
        try:
            if settings.only(dataset) is not None:
                return
        except ValueError as error:
            raise job.problem(("policy", "episode_name"), str(error)) from None
        missing = sorted({*job.wanted_episodes} - {*dataset.episodes})
        if missing:
            raise job.problem(
                ("policy", "dataset"),
                f"expected all {job.rollout.episodes} episodes of the job, {settings.file} lacks "
                f"{first_few(map(demo_name, missing))}",
            )
        for key, asked in (("simulator", job.simulator), ("environment", job.environment.id)):
            recorded = dataset.about.get(key, asked)
            if recorded != asked:
                raise job.problem(
                    ("environment", "id") if key == "environment" else (key,),
                    f"expected {recorded}, in which {settings.file} was recorded, got {asked}",
                )
        seed = dataset.about.get("seed", job.environment.seed)
        if seed != job.environment.seed:
            raise job.problem(
                ("environment", "seed"),
                f"expected {seed}, with which {settings.file} was recorded, got {job.environment.seed}: "
                "other seeds are other episodes",
            )
        cls._check_seeds(settings, dataset, job)
        cls._check_rebuilds(settings, dataset, job)
        if job.rollout.steps == "policy" and job.environment.num_envs > 1:
            raise job.problem(
                ("rollout", "steps"),
                "how long a replay takes is known for a single row only: set rollout.episodes, or "
                "environment.num_envs: 1, or policy.episode_name",
            )

    @classmethod
    def _check_seeds(cls, settings: ReplaySettings, dataset: DatasetReader, job: Job) -> None:
        """Seeds that a job gives are those of the recording."""
        key = ("environment", "seeds")
        recorded = dataset.about.get("seeds")
        if job.environment.seeds is None:
            if recorded is not None:
                text = f"expected {shown(recorded)}, with which {settings.file} was recorded, got none"
                raise job.problem(key, text)
            return
        for episode in job.wanted_episodes:
            seed, given = dataset.attribute(episode, "seed"), job.environment.given_seed(episode)
            if seed not in (None, given):
                raise job.problem(
                    key,
                    f"expected {seed} for episode {episode}, with which {settings.file} was recorded, got "
                    f"{given}",
                )

    @classmethod
    def _check_rebuilds(cls, settings: ReplaySettings, dataset: DatasetReader, job: Job) -> None:
        """The seeds of an episode depend on the rebuild that it belongs to."""
        total, wanted = job.rollout.rebuilds, {*job.wanted_episodes}
        for rebuild in range(total):
            for episode in Shard(rebuild, total).episodes(job.rollout.episodes or 0):
                if episode not in wanted:
                    continue
                recorded = dataset.attribute(episode, "rebuild")
                if recorded not in (None, rebuild):
                    raise job.problem(
                        ("rollout", "rebuilds"),
                        f"expected the episodes and rebuilds of the recording: demo_{episode} of "
                        f"{settings.file} belongs to rebuild {recorded}, here it would to rebuild {rebuild}",
                    )

    def __init__(self, settings: ReplaySettings, env: SimEnv) -> None:
        """Open the dataset; raises `EvaluationError` where its actions are none of this environment."""
        self._dataset = DatasetReader(settings.file)
        self._file, self._only = settings.file, settings.only(self._dataset)
        first = self._dataset.episodes[0] if self._only is None else self._only
        space, n = env.single_action_space, env.num_envs
        idle = dict(leaves(idle_actions(space, 1, "replay"), space))
        names = dataset_names(idle)
        self._space = space
        self._tracks = {path: self._track(names[path], one, first, n) for path, one in idle.items()}
        self._seeded = env.capabilities.episode_seeds
        self._pauses = env.capabilities.autoreset == "next_step"
        self._rows = np.arange(n)
        self._episodes = np.full(n, _NOTHING, np.int64)
        self._read = np.zeros(n, np.int64)
        self._next = np.full(n, self.BLOCK, np.int64)

    def _track(self, name: str, idle: Any, episode: int, n: int) -> _Track:
        """Prepare for the actions, or the part of them, that are called *name*; *idle* is (1, …)."""
        try:
            sample = self._dataset.actions(episode, 0, 1, name)
        except ValueError as error:
            raise EvaluationError(f"policy 'replay': {self._file}: {error}") from None
        shape = np.shape(idle)[1:]
        if not isinstance(idle, np.ndarray) or sample.shape[1:] != shape:
            raise EvaluationError(
                f"policy 'replay': {self._file} has actions of shape {sample.shape[1:]}, "
                f"the environment expects {shape if isinstance(idle, np.ndarray) else self._space}"
            )
        blocks = np.broadcast_to(idle[0].astype(sample.dtype), (n, self.BLOCK, *shape)).copy()
        return _Track(name, blocks[0, 0].copy(), blocks)

    def act(self, observation: Observation) -> Action:
        """Return the rows' next recorded actions, (N, *action shape), nested as the action space is."""
        for row in np.flatnonzero(self._next == self.BLOCK):
            self._fill(int(row))
        actions = {path: track.blocks[self._rows, self._next] for path, track in self._tracks.items()}
        self._next += 1
        return by_part(self._space, lambda _, path: actions[path])

    def set_episodes(self, env_ids: IndexArray, episodes: Sequence[int]) -> None:
        """Begin these rows' recordings."""
        for row, episode in zip(env_ids, episodes, strict=True):
            if self._only is not None:
                self._episodes[row] = self._only
            else:  # in steps mode a row that is done may begin an episode that was never recorded
                self._episodes[row] = episode if episode in self._dataset else _NOTHING
        self._read[env_ids] = 0
        self._next[env_ids] = self.BLOCK

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> None:
        """Check that these rows begin the episodes that were recorded, by their seeds."""
        if self._only is not None or seeds is None:
            return
        for row, seed in zip(self._rows if env_ids is None else env_ids, seeds, strict=True):
            episode = int(self._episodes[row])
            recorded = None if episode == _NOTHING else self._dataset.attribute(episode, "policy_seed")
            if recorded not in (None, seed):
                raise EvaluationError(
                    f"policy 'replay': episode {episode} of {self._file} was recorded with another seed: "
                    "environment.seed, rollout.episodes and rollout.rebuilds must be those of the recording"
                )

    def length(self) -> int | None:
        """Return the steps of the one episode, or of all that begin one after the other in a single row."""
        if self._only is not None:
            return self._dataset.length(self._only)
        one_after_other = [episode for i, episode in enumerate(self._dataset.episodes) if i == episode]
        pauses = len(one_after_other) - 1 if self._pauses else 0  # a step in which the simulator resets
        return sum(map(self._dataset.length, one_after_other)) + pauses

    def review(self, episodes: Sequence[Episode]) -> list[str]:
        """Tell which episodes did not end as they were recorded, or were not recorded at all."""
        if self._only is not None:
            return []
        measured = sorted((e for e in episodes if e.outcome != Outcome.ERROR), key=lambda e: e.episode)
        missing = [str(e.episode) for e in measured if e.episode not in self._dataset]
        compared = [e for e in measured if e.episode in self._dataset]
        differing = [text for e in compared if (text := self._difference(e)) is not None]
        notes = []
        if differing or missing:  # then it is not the recorded actions alone that decide
            self.reproducible = False
        if differing:
            notes.append(
                f"{len(differing)} of {len(compared)} replayed episodes did not end as they were recorded: "
                + first_few(differing)
            )
        seeds = {e.episode: self._dataset.attribute(e.episode, "seed") for e in compared}
        elsewhere = [e for e in compared if self._seeded and seeds[e.episode] not in (None, e.seed)]
        if elsewhere:
            notes.append(
                f"{len(elsewhere)} of {len(compared)} replayed episodes began from another seed than "
                "recorded, as an earlier version drew them: "
                + first_few(f"{e.episode} (from {e.seed}, recorded: {seeds[e.episode]})" for e in elsewhere)
            )
        if missing:
            notes.append(f"not in {self._file}, so nothing was replayed in episodes {first_few(missing)}")
        return notes

    @property
    def identity(self) -> Mapping[str, Any]:
        """The file, and which job was recorded in it."""
        return {"dataset": str(self._file), "recorded": self._dataset.about}

    def close(self) -> None:
        """Close the dataset."""
        self._dataset.close()

    def _fill(self, row: int) -> None:
        """Read the row's next block."""
        episode, first = int(self._episodes[row]), int(self._read[row])
        for track in self._tracks.values():
            track.blocks[row] = track.idle
            if episode != _NOTHING:
                actions = self._dataset.actions(episode, first, first + self.BLOCK, track.name)
                track.blocks[row, : len(actions)] = actions
        self._read[row] += self.BLOCK
        self._next[row] = 0

    def _difference(self, episode: Episode) -> str | None:
        """Return in words how an episode differs from its recording in length or outcome, if it does."""
        length = self._dataset.length(episode.episode)
        success = self._dataset.attribute(episode.episode, "success")
        recorded = episode.outcome if success is None else Outcome.SUCCESS if success else Outcome.FAILURE
        if (episode.length, episode.outcome) == (length, recorded):
            return None
        return (
            f"{episode.episode} ({episode.outcome} after {episode.length} steps, "
            f"recorded: {recorded} after {length})"
        )


def _require_one_shape(dataset: DatasetReader, episodes: Sequence[int]) -> None:
    """Raise `DatasetError` unless the actions of all *episodes* are numbers of the same shape."""
    shapes = dataset.shapes(episodes[0])
    for episode in episodes:
        if (other := dataset.shapes(episode)) != shapes:
            raise DatasetError(
                f"expected actions of one shape, {demo_name(episodes[0])} has {_shown(shapes)}, "
                f"{demo_name(episode)} has {_shown(other)}"
            )


def _shown(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return first_few(f"{part or 'actions'} {shape}" for part, shape in shapes.items())
