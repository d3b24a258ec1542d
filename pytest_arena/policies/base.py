"""The policy seam: observations of N rows in, actions of N rows out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from pydantic import BaseModel

from pytest_arena.jobs.model import Job
from pytest_arena.jobs.sections import StrictModel
from pytest_arena.policies.times import Times
from pytest_arena.records.schema import Episode
from pytest_arena.simulators.array_types import Action, IndexArray, Observation
from pytest_arena.simulators.base import SimEnv


class NoSettings(StrictModel):
    """For a policy without settings."""


class Policy(ABC):
    """Acts for all rows of an environment.

    A registered policy is made as ``cls(settings, env)`` with its validated `Settings`. A policy owns its
    random generators, one a row, seeded by the episode's seed in `reset`.
    """

    Settings: ClassVar[type[BaseModel]] = NoSettings
    file_settings: ClassVar[tuple[str, ...]] = ()
    """Settings that name files: relative to the job file, else to the working directory; they must exist.

    Those of classes that are not built in may be folders.
    """
    folder_settings: ClassVar[tuple[str, ...]] = ()
    """Settings that name folders, likewise."""
    reproducible: bool = False
    """A row's actions depend on that row's observations and seed alone, whatever the other rows do.

    Only who wrote the policy can know: episodes of one that does not say so are never put together from two
    runs.
    """
    deterministic: bool = False
    """They do not depend on the seed either: an episode that begins like another one repeats it."""
    row_errors: Mapping[int, str] = MappingProxyType({})
    """Rows that have no action in what the latest `act` returned -> why, e.g. what a server said.

    Their episodes end with the outcome ``error``; all others go on.
    """
    request_times: Times | None = None
    """How long a model or a server took for each answer, where `act` does not ask for one at every step.

    Whoever reads them takes them away.
    """

    @classmethod
    def check(cls, settings: Any, job: Job) -> None:
        """Raise `JobFileError` for what only this policy can judge; nothing has been simulated yet."""

    @abstractmethod
    def act(self, observation: Observation) -> Action:
        """Return actions (N, A) for observations of N rows; must not keep or change *observation*."""

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> None:
        """Forget what was remembered of rows *env_ids* (None: all), which begin new episodes.

        *seeds* has one seed a named row: a stochastic policy draws that row's noise from it.
        """

    def set_episodes(self, env_ids: IndexArray, episodes: Sequence[int]) -> None:
        """Take note of which episodes of the job rows *env_ids* begin, before each `reset`: for a replay."""

    def end_episodes(self, env_ids: IndexArray, episodes: Sequence[Episode]) -> None:
        """Take note that *episodes* of rows *env_ids* have ended; a row may have no next one."""

    def begin(self, env: SimEnv) -> None:
        """Act in *env* from now on: a rollout begins, the first one or one after a rebuild."""

    def set_task_description(self, text: str | None) -> None:
        """Take the language instruction of the job, before the first episode."""

    def length(self) -> int | None:
        """Return how many steps the policy has recorded (a replay); None for any other policy."""
        return None

    def review(self, episodes: Sequence[Episode]) -> list[str]:
        """Return notes for the record on what came of the rollout's *episodes*."""
        return []

    @property
    def identity(self) -> Mapping[str, Any]:
        """What tells this policy from another: checkpoint path and hash, server address, …"""
        return {}

    def close(self) -> None:
        """Free everything; calling it twice is harmless."""
