"""One step of one episode, as metrics see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pytest_arena.simulators.array_types import Action, FloatArray, IndexArray, Observation
from pytest_arena.simulators.base import Step


@dataclass(frozen=True, slots=True)
class Transition:
    """One step as a metric sees it. Arrays have all N rows; only ``rows`` took a counted step."""

    rows: IndexArray
    """(K,) int64, rising."""
    observation: Observation
    """(N, …) what the policy saw."""
    action: Action
    """(N, …) what the environment was given."""
    step: Step
    reached: Observation
    """The observation after the step, before any reset."""
    reached_rows: IndexArray
    """``rows`` less those that ended in a simulator that cannot give their terminal observation."""

    @property
    def info(self) -> Mapping[str, FloatArray]:
        """Key of the environment's info -> (N,) float64, NaN where it does not say: `Metric.info_keys`."""
        return self.step.info

    @classmethod
    def of(cls, rows: IndexArray, observation: Observation, action: Action, step: Step) -> Transition:
        """Make the transition of *step*.

        Args:
            rows: (K,) int64, rising: the rows that took a counted step.
            observation: (N, …) what the policy saw before the step.
            action: (N, …) what the environment was given.
            step: What the environment returned.

        Returns:
            The transition. It reached the terminal observation where *step* has one, else the observation of
            *step*; rows that ended without a terminal observation are no part of ``reached_rows``.
        """
        if not step.ends:
            return cls(rows, observation, action, step, step.observation, rows)
        if step.terminal_observation is not None:
            return cls(rows, observation, action, step, step.terminal_observation, rows)
        ended = [end.env_idx for end in step.ends]
        reached_rows = np.setdiff1d(rows, ended)
        return cls(rows, observation, action, step, step.observation, reached_rows)
