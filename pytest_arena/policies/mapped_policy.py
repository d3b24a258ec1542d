"""What every policy with a model has: the job's maps to and from the model, and the rows that it acts for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from pytest_arena.jobs.model import Job
from pytest_arena.jobs.sections import StrictModel
from pytest_arena.policies.action import ActionEntry
from pytest_arena.policies.base import Policy
from pytest_arena.policies.observation import ObservationEntry, ObservationMap
from pytest_arena.records.schema import Episode
from pytest_arena.simulators.array_types import IndexArray
from pytest_arena.simulators.base import SimEnv
from pytest_arena.simulators.registry import find_simulator


class ModelSettings(StrictModel):
    """Settings of every policy with a model: what it sees, and what its answer means."""

    observation: dict[str, ObservationEntry] | None = Field(
        default=None,
        description="input of the model -> where it comes from; default: the whole observation",
    )
    action: ActionEntry | None = Field(default=None, description="how the answer becomes an action")


class MappedPolicy(Policy):
    """Sees an environment through the job's map, and knows which of its rows have an episode."""

    def __init__(self, settings: ModelSettings, env: SimEnv) -> None:
        """Make the map; `EvaluationError` where *env* lacks what it names."""
        self._entries = settings.observation
        self._task_description: str | None = None
        self._prepare(env)

    def _prepare(self, env: SimEnv) -> None:
        self.observed = None if self._entries is None else ObservationMap(self._entries, env)
        """Makes the model's inputs; None: the model takes the observation as it is."""
        self.running = np.zeros(env.num_envs, np.bool_)
        """(N,) bool: the row has an episode."""
        self.set_task_description(self._task_description)

    @classmethod
    def check(cls, settings: Any, job: Job) -> None:
        """Check the cameras that the observation map asks for."""
        ObservationMap.check(settings.observation, job, find_simulator(job).named_cameras_only)

    def forget(self, rows: IndexArray, seeds: Sequence[int]) -> None:
        """Forget what was remembered of *rows* (K,), which begin new episodes with these policy seeds."""

    def begin(self, env: SimEnv) -> None:
        """Act in *env* from now on."""
        self._prepare(env)

    def set_task_description(self, text: str | None) -> None:
        """Take the instruction, for the inputs that are one."""
        self._task_description = text
        if self.observed is not None:
            self.observed.task_description = text

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> None:
        """Begin episodes in these rows: nothing is left of what was remembered of them."""
        rows = np.arange(len(self.running)) if env_ids is None else np.asarray(env_ids, np.int64)
        self.running[rows] = True
        self.forget(rows, [0] * len(rows) if seeds is None else list(seeds))

    def end_episodes(self, env_ids: IndexArray, episodes: Sequence[Episode]) -> None:
        """Ask the model nothing for these rows until they begin other episodes."""
        self.running[env_ids] = False
