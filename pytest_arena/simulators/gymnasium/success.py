"""Success in a vector environment of gymnasium: read by a key of its infos, or by the job's function."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from pytest_arena.errors import EvaluationError
from pytest_arena.jobs.sections import Success
from pytest_arena.jobs.user_modules import import_function
from pytest_arena.simulators.array_types import BoolArray, SuccessArray
from pytest_arena.simulators.base import UNMEASURED
from pytest_arena.simulators.gymnasium.info import mask_of
from pytest_arena.simulators.gymnasium.row import CheckedInfos, check_row, checked_row
from pytest_arena.simulators.row_values import InfoKey, success_by_row, success_of

SUCCESS_KEYS = ("success", "is_success", "succeed")
"""Where environments of this family report success, in the order of looking."""


def success_keys(success: Success) -> tuple[str, ...]:
    """Return the keys of an info under which success is looked for."""
    if success.callable is not None or success.rule is not None:
        return ()
    return SUCCESS_KEYS if success.info_key is None else (success.info_key,)


class VectorSuccess:
    """Reads success of all rows of *vec*, whose rows in this process are checked from now on."""

    def __init__(self, vec: VectorEnv[Any, Any, Any], success: Success, *, same_step: bool) -> None:
        """Raises `EvaluationError` where a function could only be asked about the next episode."""
        self._vec, self._num_envs = vec, vec.num_envs
        self._keys, self._name = success_keys(success), success.callable
        self._info_key = InfoKey(success.info_key)
        self._function = import_function(success.callable) if success.callable is not None else None
        self._asked_early = same_step and self._function is not None
        self._stepping = False
        self.infos: CheckedInfos | None = None
        """Checks what rows in other processes say; None: there are no such rows."""
        self._before_reset: dict[int, int] = {}
        """What the function said of rows that ended in this step, before they were reset within it."""
        rows = vec.unwrapped
        if isinstance(rows, SyncVectorEnv):
            for row, env in enumerate(rows.envs):
                rows.envs[row] = check_row(env, self._keys, row)
                checked = checked_row(rows.envs[row])
                if checked is not None and self._asked_early:
                    checked.before_reset = functools.partial(self._ask_before_reset, row)
            return
        if isinstance(rows, AsyncVectorEnv):
            self.infos = CheckedInfos(rows._add_info, self._keys)
            rows._add_info = self.infos  # type: ignore[method-assign, assignment]
        if self._asked_early:  # the rows are in other processes, or cannot be reached
            raise EvaluationError(
                f"success.callable: rows are reset within the step (autoreset mode same_step), so "
                f"{self._name!r} would be asked about their next episode; use success.info_key, or another "
                "autoreset mode"
            )

    def begin_step(self) -> None:
        """Rows that are reset from now on have ended in this step."""
        self._before_reset, self._stepping = {}, True

    def end_step(self) -> None:
        """Rows that are reset from now on are reset on request."""
        self._stepping = False

    def read(self, info: Mapping[str, Any]) -> SuccessArray:
        """Return success (N,) of the states that *info* is about."""
        if self._function is not None:
            return self._ask()
        if self.infos is not None and self.infos.error is not None:
            raise self.infos.error
        self._info_key.look(info)
        success: SuccessArray | None = None
        for key in self._keys:
            if info.get(key) is None:
                continue
            # Where the mask does not hold, the value is the vector environment's filler.
            rows = mask_of(info, key, self._num_envs)
            if success is not None:
                rows = rows & (success == UNMEASURED)
            found = success_by_row(info[key], f"info[{key!r}] is", self._num_envs, rows)
            success = found if success is None else np.where(rows, found, success)
        return np.full(self._num_envs, UNMEASURED, np.int8) if success is None else success

    def read_final(self, info: Mapping[str, Any]) -> SuccessArray:
        """Return success (N,) of the rows that ended and were reset within this step.

        Only ``final_info`` is about them: one dict, or as before gymnasium 1.0 one dict a row.
        """
        success = np.full(self._num_envs, UNMEASURED, np.int8)
        final = info.get("final_info")
        if self._function is not None:
            success[list(self._before_reset)] = list(self._before_reset.values())
            return success
        if isinstance(final, Mapping):
            success = self.read(final)
        elif final is not None:
            for row, of_row in enumerate(final):
                if isinstance(of_row, Mapping):
                    success[row] = self._read_row(of_row, row)
        mask = np.asarray(info.get("_final_info", True), np.bool_)
        return np.where(mask, success, np.int8(UNMEASURED))

    def require_key(self) -> None:
        """An episode ended: raise `EvaluationError` where no info has had the job's key so far."""
        self._info_key.require()

    def _read_row(self, info: Mapping[str, Any], row: int) -> int:
        self._info_key.look(info)
        key = next((key for key in self._keys if key in info), None)
        return UNMEASURED if key is None else success_of(info[key], f"info[{key!r}] is", f" in row {row}")

    def _ask_before_reset(self, row: int) -> None:
        if self._stepping:
            self._before_reset[row] = int(self._ask()[row])

    def _ask(self) -> SuccessArray:
        assert self._function is not None
        what = f"success.callable: {self._name!r} gave"
        return success_by_row(self._function(self._vec), what, self._num_envs)


def has_final(info: Mapping[str, Any], done: BoolArray) -> bool:
    """Whether ``final_obs`` has what all the rows that are *done* reached."""
    if info.get("final_obs") is None:
        return False
    given = np.broadcast_to(np.asarray(info.get("_final_obs", True), np.bool_), done.shape)
    return bool(given[done].all())
