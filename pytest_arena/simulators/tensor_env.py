"""Environments with Isaac Lab's interface: batches of tensors, termination terms, sensors in a scene.

Isaac Lab, IsaacLab-Arena and mjlab share it. What it does to an evaluator, and what is done here about it:

* reward, flags and images are written in place at every step: all that leaves is copied;
* ``extras`` is one dict whose old keys stay: a key is believed only where this step has written it;
* rows are reset inside `step`: success, terminal observation and terminal image are read before that.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pytest_arena.errors import EvaluationError, not_among
from pytest_arena.jobs.sections import Success
from pytest_arena.jobs.user_modules import import_function
from pytest_arena.simulators.array_types import Action, BoolArray, IndexArray, Observation, SuccessArray
from pytest_arena.simulators.arrays import copy_rows
from pytest_arena.simulators.base import UNMEASURED, Capabilities, EpisodeEnd, Parking, Reset, SimEnv, Step
from pytest_arena.simulators.info import WatchedInfo
from pytest_arena.simulators.row_values import InfoKey, numbers_by_row, success_by_row
from pytest_arena.simulators.tensor_cameras import TensorCameras, cameras_of_job, find_cameras

SEEDS = 2**31
"""How many seeds there are: simulators of this family keep them in 32 bits with a sign."""
SUCCESS_TERM = "success"
"""The termination term that says so, unless the job names another."""

RawStep = tuple[Observation, Any, Any, Any, Mapping[str, Any]]
"""(observation, reward (N,), terminated (N,), truncated (N,), extras), as tensors."""


class TensorEnv(SimEnv):
    """Adapts *env*, which resets rows that ended within the same step.

    Rows share one stream of random numbers, so an episode's seed cannot be chosen: a reset of all rows
    seeds the stream, with the first row's seed.
    """

    cameras: TensorCameras | None
    discrete_columns = True  # as Isaac Lab and skrl have them
    _manual: bool = False
    """Rows that ended wait for `reset`; a subclass sets it before it calls our constructor."""

    def __init__(
        self, env: Any, success: Success | None = None, cameras: Sequence[str] | None = None
    ) -> None:
        """Adapt *env*; film with *cameras*, None: all that give colour images.

        Raises:
            EvaluationError: there is no such termination term, or no function to read success with.
            RecordingError: there is no such camera.
        """
        import torch

        self._torch = torch
        self._env, self._base = env, env.unwrapped
        base = self._base
        self.num_envs, self.device = int(base.num_envs), str(base.device)
        self.step_dt, self.max_episode_steps = float(base.step_dt), int(base.max_episode_length)
        self.single_action_space = self._action_space()
        self.single_observation_space = self._observation_space()
        self._success = success or Success()
        self._terms: tuple[str, ...] = tuple(
            getattr(getattr(base, "termination_manager", None), "active_terms", ())
        )
        self._success_term = self._find_term()
        function = self._success.callable
        self._success_of = import_function(function) if function is not None else None
        self._info_key = InfoKey(self._success.info_key)
        self._watched = WatchedInfo(self.num_envs)
        self._films = self._find_cameras()
        self.cameras = self._make_cameras(cameras_of_job(cameras, self._films))
        self.identity = {"environment": f"{type(base).__module__}:{type(base).__qualname__}"}
        self.capabilities = self._capabilities()
        self._stepping = self._closed = False
        self._seen_success: Any = None
        self._parking = Parking.all_of(self.num_envs)
        self._watch_resets()

    @property
    def unwrapped(self) -> Any:
        """The simulator's own environment."""
        return self._env

    # -- what a simulator of this family may do in its own way

    def _action_space(self) -> Any:
        return self._base.single_action_space

    def _observation_space(self) -> Any:
        return self._base.single_observation_space

    def _capabilities(self) -> Capabilities:
        """Return what follows from the reset mode: rows that wait for their reset can be looked at."""
        computed = bool(getattr(self._base.cfg, "compute_final_obs", False))
        return Capabilities(
            autoreset="manual" if self._manual else "same_step",
            terminal_observation=self._manual or computed,
            terminal_frame=self.cameras is not None,
            partial_reset=self._manual,
        )

    def _reset_all(self, seed: int | None) -> Observation:
        return self._env.reset(seed=seed)[0]

    def _reset_rows(self, rows: Any) -> Observation:
        raise NotImplementedError("this environment resets its rows by itself")

    def _raw_step(self, actions: Action) -> RawStep:
        result: RawStep = self._env.step(self._to_tensor(actions))
        return result

    def _terminal(self, observation: Observation, extras: Mapping[str, Any], done: BoolArray) -> Observation:
        """Return what the rows that are *done* reached, in a batch of all rows; None if unknown."""
        return None

    def _find_cameras(self) -> Mapping[str, str]:
        """Return camera -> which of its data is filmed."""
        return find_cameras(getattr(self._base.scene, "sensors", {}))

    def _make_cameras(self, names: tuple[str, ...]) -> TensorCameras | None:
        return TensorCameras(names, self._image, self.num_envs, self.device) if names else None

    def _image(self, camera: str) -> Any:
        """Return the current images of all rows, (N, H, W, C)."""
        return self._base.scene.sensors[camera].data.output[self._films[camera]]

    # -- the seam

    def begin(self, episodes: int | None) -> None:
        """No row has been filmed in the rollout that begins."""
        if self.cameras is not None:
            self.cameras.begin()

    def watch_info(self, keys: Mapping[str, str]) -> None:
        """Give the numbers, one a row, under these keys of ``extras``."""
        self._watched.watch(keys)

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> Reset:
        """Reset all rows, or, where rows can be reset one by one, those named."""
        if env_ids is None:
            observation = self._reset_all(None if seeds is None else int(seeds[0]) % SEEDS)
        else:
            observation = self._reset_rows(self._torch.as_tensor(env_ids, device=self.device))
        return Reset(copy_rows(observation), self._success_at_reset())

    def step(self, actions: Action) -> Step:
        """Step all rows; those that ended are in their next episode when this returns, or parked."""
        self._seen_success = None
        if self.cameras is not None:
            self.cameras.begin_step()
        self._forget_info()
        self._stepping = True
        try:
            observation, reward, terminated, truncated, extras = self._raw_step(actions)
        finally:
            self._stepping = False
        seen = self._read_success(extras)
        columns = [
            self._column(reward, "the environment's step() gave as reward"),
            self._column(terminated, "the environment's step() gave as terminated"),
            self._column(truncated, "the environment's step() gave as truncated"),
        ]
        if seen is not None:
            columns.append(seen)
        numbers = self._info_columns(extras)
        host = self._to_host(*columns, *numbers.values())  # one wait for the device
        terminated, truncated = host[1] != 0, host[2] != 0
        success = (
            np.full(self.num_envs, UNMEASURED, np.int8) if seen is None else self._success_array(host[3])
        )
        observation = copy_rows(observation)
        valid = ~self._parking.parked if self._manual else np.ones(self.num_envs, np.bool_)
        done = (terminated | truncated) & valid
        ends: tuple[EpisodeEnd, ...] = ()
        terminal = None
        if done.any():
            self._info_key.require()
            self._watched.require()
            ends = self._ends(done, terminated, success)
            terminal = observation if self._manual else self._terminal(observation, extras, done)
            if self._manual:
                self._parking.park(done)
        return Step(
            observation=observation,
            reward=host[0].copy(),
            terminated=terminated,
            truncated=truncated,
            valid=valid,
            success=success,
            ends=ends,
            terminal_observation=terminal,
            info=dict(zip(numbers, host[len(columns) :].copy(), strict=True)),
        )

    def close(self) -> None:
        """Close the environment."""
        if not self._closed:
            self._closed = True
            vars(self._base).pop("_reset_idx", None)  # the watch holds on to both of us
            self._env.close()

    # -- rows that end

    def _watch_resets(self) -> None:
        """See the state of rows before the simulator resets them inside its step."""
        original = self._base._reset_idx

        def watched(env_ids: Any, *args: Any, **kwargs: Any) -> Any:
            if self._stepping:
                self._before_reset(env_ids)
            return original(env_ids, *args, **kwargs)

        self._base._reset_idx = watched

    def _before_reset(self, env_ids: Any) -> None:
        if self._success_of is not None and self._seen_success is None:
            self._seen_success = self._called_success()
        if self.cameras is not None and self.capabilities.terminal_frame:
            self.cameras.keep_last(env_ids)

    def _ends(self, done: BoolArray, terminated: BoolArray, success: SuccessArray) -> tuple[EpisodeEnd, ...]:
        fired = (
            self._to_host(*map(self._base.termination_manager.get_term, self._terms)) if self._terms else []
        )
        return tuple(
            EpisodeEnd(int(row), self._reason(int(row), fired, bool(terminated[row]), success[row] == 1))
            for row in np.flatnonzero(done)
        )

    def _reason(self, row: int, fired: Sequence[Any], terminated: bool, success: bool) -> str:
        names = [name for name, column in zip(self._terms, fired, strict=True) if column[row]]
        if self._success_term in names:
            return "success"
        if names:  # a term of that name that does not count as success must not read as one
            return next((name for name in names if success or name != SUCCESS_TERM), "terminated")
        if self._terms:  # a visualizer can ask for a reset: then no term has fired
            return "reset"
        return ("success" if success else "terminated") if terminated else "time_out"

    # -- success

    def _find_term(self) -> str | None:
        wanted = self._success.term
        if wanted is None:
            own = self._success.info_key or self._success.callable or self._success.rule
            return SUCCESS_TERM if own is None and SUCCESS_TERM in self._terms else None
        if wanted not in self._terms:
            raise EvaluationError(
                f"success.term: the environment has no termination term {wanted!r}"
                f"{not_among(wanted, self._terms, 'it has no termination terms')}"
            )
        return wanted

    def _read_success(self, extras: Mapping[str, Any]) -> Any:
        """Return (N,) success of the state that this step reached; None if unmeasured.

        A tensor: more than 0.5 is a success, NaN is unmeasured.
        """
        if self._success_term is not None:
            return self._base.termination_manager.get_term(self._success_term)
        if self._success_of is not None:
            return self._called_success() if self._seen_success is None else self._seen_success
        self._info_key.look(extras)
        key = self._success.info_key
        if key is not None and extras.get(key) is not None:
            return self._success_column(extras[key], f"success.info_key: extras[{key!r}] is")
        return None

    def _called_success(self) -> Any:
        assert self._success_of is not None
        what = f"success.callable: {self._success.callable!r} gave"
        return self._success_column(self._success_of(self._base), what)

    def _column(self, held: Any, what: str) -> Any:
        """Return *held* as a tensor (N,) of numbers; else `EvaluationError`, whose message *what* begins."""
        n = self.num_envs
        if not isinstance(held, self._torch.Tensor):
            return self._torch.as_tensor(numbers_by_row(held, what, n), device=self.device)
        if tuple(held.shape) not in ((n,), (n, 1)):
            raise EvaluationError(f"{what} a value of shape {tuple(held.shape)}, expected {n} numbers")
        if held.is_complex():
            raise EvaluationError(f"{what} values of type {held.dtype}, expected {n} numbers")
        return held.detach().reshape(n)

    def _success_column(self, held: Any, what: str) -> Any:
        """Return success as `_column` does; NaN where *held* does not say it of a row."""
        if isinstance(held, self._torch.Tensor):
            return self._column(held, what)
        success = success_by_row(held, what, self.num_envs).astype(np.float64)
        return self._column(np.where(success == UNMEASURED, np.nan, success), what)

    @staticmethod
    def _success_array(held: Any) -> SuccessArray:
        """Return success for a `Step`, of numbers (N,) on the host: more than 0.5 is one, NaN unmeasured."""
        return np.where(np.isnan(held), np.int8(UNMEASURED), held > 0.5).astype(np.int8)

    def _info_columns(self, extras: Mapping[str, Any]) -> dict[str, Any]:
        """Return the numbers that are watched, as tensors (N,); NaN where *extras* does not have them."""
        self._watched.look(extras)
        return {
            key: self._column(extras[key], f"extras[{key!r}] is")
            if extras.get(key) is not None
            else self._torch.full((self.num_envs,), float("nan"), device=self.device)
            for key in self._watched.keys
        }

    def _forget_info(self) -> None:
        """Remove the keys: they count only where the step writes them, and the dict stays the same object."""
        extras = getattr(self._base, "extras", None)
        for key in (self._success.info_key, *self._watched.keys):
            if key is not None and isinstance(extras, dict):
                extras.pop(key, None)

    def _success_at_reset(self) -> SuccessArray:
        """Return success of the state after a reset, where it can be asked without disturbing anything."""
        held = None
        if self._success_of is not None:
            held = self._called_success()
        elif self._success_term is not None:
            term = self._base.termination_manager.get_term_cfg(self._success_term)
            if inspect.isfunction(term.func):  # a class may count its calls
                held = term.func(self._base, **(term.params or {}))
        if held is None:
            return np.full(self.num_envs, UNMEASURED, np.int8)
        return self._success_array(self._to_host(held)[0])

    # -- tensors

    def _to_tensor(self, actions: Action) -> Any:
        tensor = self._torch.as_tensor(actions, device=self.device)
        return tensor.float() if tensor.is_floating_point() else tensor

    def _to_host(self, *columns: Any) -> Any:
        """Return (len(columns), N) float64, in one copy."""
        torch = self._torch
        return torch.stack([column.to(torch.float64) for column in columns]).cpu().numpy()
