"""Meta-World's own scripted experts: controllers that solve most tasks from the observation alone."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pytest_arena.errors import EvaluationError
from pytest_arena.jobs.sections import StrictModel
from pytest_arena.policies.base import Policy
from pytest_arena.simulators.array_types import Action, IndexArray, Observation
from pytest_arena.simulators.base import SimEnv
from pytest_arena.simulators.mujoco.metaworld import MetaworldEnv


class ExpertSettings(StrictModel):
    """Settings of the policy ``metaworld_expert``."""

    noise: float = Field(
        default=0.0,
        ge=0.0,
        allow_inf_nan=False,
        description="standard deviation of Gaussian noise on the actions",
    )


class MetaworldExpert(Policy):
    """The task's scripted expert, one object a row, with noise on request."""

    Settings = ExpertSettings
    reproducible = True

    def __init__(self, settings: ExpertSettings, env: SimEnv) -> None:
        """Find the expert of the environment's task."""
        if not isinstance(env.unwrapped, MetaworldEnv):
            raise EvaluationError(
                "policy 'metaworld_expert' acts in the simulator metaworld only, "
                f"got {type(env.unwrapped).__name__}"
            )
        self._task = env.unwrapped.task_name
        experts = importlib.import_module("metaworld.policies").ENV_POLICY_MAP
        self._make: Any = experts[self._task]
        self._experts = [self._make() for _ in range(env.num_envs)]
        self._noise = settings.noise
        self.deterministic = not settings.noise
        self._generators = [np.random.default_rng() for _ in range(env.num_envs)]

    def act(self, observation: Observation) -> Action:
        """Return actions (N, 4) float32 in [-1, 1] for observations (N, 39), or dicts with them as state."""
        state = observation["state"] if isinstance(observation, Mapping) else observation
        with warnings.catch_warnings():
            # The experts aim beyond the limits by design and would warn of it at every step.
            warnings.filterwarnings("ignore", message="Constant\\(s\\) may be too high")
            rows = zip(self._experts, state, strict=True)
            actions = np.array([expert.get_action(row) for expert, row in rows], dtype=np.float64)
        if self._noise:
            actions += self._noise * self._draw()
        return np.clip(actions, -1.0, 1.0).astype(np.float32)

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> None:
        """Begin anew in these rows, with noise drawn from their seeds."""
        ids = range(len(self._experts)) if env_ids is None else env_ids
        drawn: Sequence[int | None] = seeds or [None] * len(ids)  # no seed: fresh entropy
        for i, seed in zip(ids, drawn, strict=True):
            self._experts[i] = self._make()
            self._generators[i] = np.random.default_rng(seed)

    @property
    def identity(self) -> Mapping[str, Any]:
        """The expert's task."""
        return {"expert": self._task}

    def _draw(self) -> NDArray[np.float64]:
        return np.stack([generator.standard_normal(4) for generator in self._generators])
