"""Policies whose model answers with a chunk of actions: one plan a row, whatever the other rows do.

A queue of actions for the whole batch is the usual fault of adapters: a row's reset then throws away, or
keeps, the plan of another row. Here each row has a plan and a place in it of its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any, final

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pytest_arena.errors import ArenaError, EvaluationError
from pytest_arena.policies.action import ActionMap
from pytest_arena.policies.mapped_policy import MappedPolicy, ModelSettings
from pytest_arena.policies.observation import ObservationMap, describe_inputs, whole
from pytest_arena.policies.times import Times
from pytest_arena.policies.untrained import idle_actions
from pytest_arena.records.schema import Episode
from pytest_arena.simulators.array_types import Action, IndexArray, Observation
from pytest_arena.simulators.arrays import row_of
from pytest_arena.simulators.base import SimEnv


class ChunkSettings(ModelSettings):
    """Settings of every policy whose model answers with a chunk of actions."""

    execute: int | None = Field(
        default=None,
        ge=1,
        description="steps of a chunk before the next; default: the model's own, else all",
    )
    ensemble: float | None = Field(
        default=None,
        ge=-10,
        le=10,
        description="ask at every step, and average all answers for it with the weights exp(-ensemble * age "
        "rank), the oldest first (temporal ensembling)",
    )

    @model_validator(mode="after")
    def _one_pace(self) -> ChunkSettings:
        if self.ensemble is not None and self.execute not in (None, 1):
            raise ValueError(
                f"expected no execute beside ensemble: it asks at every step, got {self.execute}"
            )
        return self


class PlanError(EvaluationError):
    """A row has no plan: its episode cannot go on. Its text is what the model, or its server, said."""


class ChunkedPolicy(MappedPolicy):
    """Acts by plans of H actions, of which the first few are executed before the next plan is asked for.

    A subclass answers for rows that need a plan. A row needs one at the begin of its episode and whenever it
    has executed its share of the last one. Rows without an episode are never asked for.
    """

    history: int = 1
    """T, how many of a row's latest observations a plan is made from; set before `__init__` of this class.

    What would be before an episode's first observation is a copy of that.
    """

    def __init__(self, settings: ChunkSettings, env: SimEnv) -> None:
        """Prepare the plans of the rows of *env*; `EvaluationError` where the maps do not fit it."""
        self._settings = settings
        self.request_times = None
        self.execute = settings.execute
        """Steps of a plan that are executed; None: all."""
        self._answered = False
        super().__init__(settings, env)

    def _prepare(self, env: SimEnv) -> None:
        super()._prepare(env)
        n = env.num_envs
        self._inputs = self.observed or ObservationMap(whole(env), env)
        self._actions = ActionMap(self._settings.action, env)
        if self._settings.ensemble is not None and not isinstance(env.single_action_space, Box):
            raise EvaluationError(
                f"policy.ensemble: expected actions that have a mean, got {env.single_action_space}"
            )
        self._idle = idle_actions(env.single_action_space, n, type(self).__name__)
        self._place = np.zeros(n, np.int64)  # of the next action in the row's plan
        self._length = np.zeros(n, np.int64)  # of the row's plan, as far as it is executed
        self._plans = self._idle[:, None]  # (N, H, A)
        self._ensembles: dict[int, _Ensemble] = {}
        self._seen: dict[int, deque[Mapping[str, Any]]] = {}  # the latest inputs of each row, of `history`

    @abstractmethod
    def plan(self, rows: IndexArray, inputs: Mapping[str, Any]) -> Sequence[Any]:
        """Return an answer for each of K rows.

        Args:
            rows: (K,) int64, the rows that need a plan, rising.
            inputs: What the observation map makes of the observation of these rows: (K, …) arrays, K texts.
                Without a map: the parts of the observation under their paths, ``.`` where it is one array.
                With a `history` of T > 1 arrays are (K, T, …), the latest observation last.

        Returns:
            K answers: an array (H, A) of the next H actions, (A,) for a single one, or a mapping that has
            such; a `PlanError` for a row whose episode cannot go on.

        Raises:
            Exception: Nothing can be measured any more: the job ends as an error.
        """

    @final
    def act(self, observation: Observation) -> Action:
        """Return (N, A) actions: the next of each row's plan; rows without an episode get an idle one."""
        self.row_errors = {}
        observed = np.flatnonzero(self.running & (self._length - self._place < self.history))
        if len(observed):
            inputs = self._inputs(observation, observed)
            needing = self._place[observed] >= self._length[observed]
            if self.history > 1:
                self._remember(observed, inputs)
            if needing.any():
                self._renew(observed[needing], self._past(observed[needing], inputs))
        actions = self._idle.copy()
        rows = np.flatnonzero(self.running)
        actions[rows] = self._plans[rows, self._place[rows]]
        self._place[rows] += 1
        return actions

    @final
    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> None:
        """Forget the plans of these rows alone."""
        self._drop(np.arange(len(self.running)) if env_ids is None else np.asarray(env_ids, np.int64))
        super().reset(env_ids, seeds)

    def end_episodes(self, env_ids: IndexArray, episodes: Sequence[Episode]) -> None:
        """Ask for no plans of these rows until they begin new episodes."""
        self._drop(np.asarray(env_ids, np.int64))
        super().end_episodes(env_ids, episodes)

    def _drop(self, rows: IndexArray) -> None:
        self._place[rows] = self._length[rows] = 0
        for row in rows.tolist():
            self._ensembles.pop(row, None)
            self._seen.pop(row, None)

    def _remember(self, rows: IndexArray, inputs: Mapping[str, Any]) -> None:
        """Add *inputs* of *rows* to what was seen of them."""
        for index, row in enumerate(rows.tolist()):
            now = row_of(inputs, index)
            if row not in self._seen:
                self._seen[row] = deque([now] * self.history, self.history)
            else:
                self._seen[row].append(now)

    def _past(self, rows: IndexArray, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what plans of *rows* are made from; without a history that is *inputs*, of these rows."""
        if self.history == 1:
            return inputs
        seen = [self._seen[row] for row in rows.tolist()]
        return {
            name: [past[-1][name][0] for past in seen]
            if isinstance(value, list)
            else np.stack([np.concatenate([step[name] for step in past]) for past in seen])
            for name, value in inputs.items()
        }

    def _renew(self, rows: IndexArray, inputs: Mapping[str, Any]) -> None:
        """Ask for plans of *rows*; a row that gets none is in `row_errors`."""
        began = perf_counter()
        try:
            answers = self.plan(rows, inputs)
        except ArenaError as error:
            if self._answered:
                raise
            given = describe_inputs(inputs)
            raise type(error)(f"{error} (the model was given {given})") from error.__cause__
        self.request_times = self.request_times or Times()
        self.request_times.add(perf_counter() - began)
        if len(answers) != len(rows):
            raise EvaluationError(f"{type(self).__name__}: expected {len(rows)} answers, got {len(answers)}")
        errors: dict[int, str] = {}
        first = not self._answered
        for index, (row, answer) in enumerate(zip(rows.tolist(), answers, strict=True)):
            try:
                if isinstance(answer, PlanError):
                    raise answer
                self._follow(row, self._actions(answer))
                self._answered = True
            except EvaluationError as error:
                errors[row] = str(error)
                if first:
                    errors[row] += f" (the model was given {describe_inputs(row_of(inputs, index))})"
                self.running[row] = False
        self.row_errors = errors

    def _follow(self, row: int, plan: NDArray[Any]) -> None:
        """Make *plan* (H, A) the row's next actions."""
        if self._settings.ensemble is not None:
            known = self._ensembles.setdefault(row, _Ensemble(self._settings.ensemble))
            plan = known.add(plan)[None]
        horizon = len(plan)
        if horizon > self._plans.shape[1]:
            longer = np.repeat(self._idle[:, None], horizon, axis=1)
            longer[:, : self._plans.shape[1]] = self._plans
            self._plans = longer
        self._plans[row, :horizon] = plan
        self._length[row] = min(horizon, self.execute or horizon)
        self._place[row] = 0


class _Ensemble:
    """Averages all plans of one row that speak of the same step (Zhao et al. 2023, section IV.B).

    Of the plans that speak of a step, the i-th oldest has the weight ``exp(-coefficient * i)``.
    """

    def __init__(self, coefficient: float) -> None:
        self._coefficient = coefficient
        self._sums: NDArray[Any] = np.zeros((0, 0))
        self._weights: NDArray[Any] = np.zeros(0)
        self._plans: NDArray[Any] = np.zeros(0)  # how many speak of each coming step

    def add(self, plan: NDArray[Any]) -> NDArray[Any]:
        """Take in *plan* (H, A), which begins now; returns the action (A,) of now, and goes one step on."""
        horizon, length = len(plan), max(len(plan), len(self._sums))
        sums = np.zeros((length, *plan.shape[1:]), np.float64)
        weights, plans = np.zeros(length), np.zeros(length)
        known = len(self._sums)
        if known:
            sums[:known], weights[:known], plans[:known] = self._sums, self._weights, self._plans
        own = np.exp(-self._coefficient * plans[:horizon])
        sums[:horizon] += own.reshape(-1, *[1] * (plan.ndim - 1)) * plan
        weights[:horizon] += own
        plans[:horizon] += 1
        self._sums, self._weights, self._plans = sums[1:], weights[1:], plans[1:]
        return np.asarray(sums[0] / weights[0], plan.dtype)
