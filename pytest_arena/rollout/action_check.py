"""What a policy may give an environment: actions are checked here, once a step, for every simulator.

The usual step costs one minimum and one maximum of all numbers, and on a GPU one wait: they find values that
are not finite and those out of bounds. Only where they find any are rows looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces

from pytest_arena.errors import EvaluationError, described, did_you_mean, first_few
from pytest_arena.simulators.array_types import Action, BoolArray
from pytest_arena.simulators.base import SimEnv


class ActionCheck:
    """Checks the actions of one policy for the rows of one environment.

    ``Box``, ``Discrete``, ``MultiDiscrete`` and ``MultiBinary`` are checked, and dicts and tuples of them
    entry by entry. What is given for any other space is the environment's own business.
    """

    def __init__(self, env: SimEnv, policy: str) -> None:
        """Check for the rows of *env*; *policy* names who acts, in messages."""
        self._policy, self._rows = policy, env.num_envs
        self.space, self.clipped = env.single_action_space, env.clips_actions
        self._check = _check_of(self.space, env.num_envs, env.discrete_columns)
        self.actions = self.outside = 0
        """How many actions were taken, one a step in each row that had an episode, and how many of them lay
        outside a box."""

    def __call__(self, actions: Action, active: BoolArray) -> Action:
        """Return *actions* as the environment may have them.

        Integers for a box of floats become such, bfloat16 becomes float32. Rows that are not *active* (N,)
        may hold anything: what no environment could take becomes the action of a row that is. All else is as
        it was given.

        Raises:
            EvaluationError: they are no numbers of the space's kind, have the wrong shape, or, in an active
                row, a value that is not finite or lies outside a space of integers.
        """
        try:
            checked = self._check(actions, active, "")
        except _RefusedError as refused:
            raise EvaluationError(f"policy {self._policy}: {refused}") from None
        self.actions += active.tobytes().count(1)
        if (beyond := self._check.beyond) is not None:
            self.outside += int(np.count_nonzero(beyond & active))
        return checked

    def row_errors(self, errors: Any) -> dict[int, str]:
        """Return *errors*, row -> why the policy has no action for it, as plain numbers and texts.

        Raises `EvaluationError` where they are no mapping, or name a row that there is not.
        """
        if not isinstance(errors, Mapping):
            raise EvaluationError(
                f"policy {self._policy}: row_errors: expected a dict of row to text, got {described(errors)}"
            )
        for row in errors:
            if not isinstance(row, (int, np.integer)) or not 0 <= row < self._rows:
                expected = f"expected rows from 0 to {self._rows - 1}"
                raise EvaluationError(f"policy {self._policy}: row_errors: {expected}, got {row!r}")
        return {int(row): str(reason) for row, reason in errors.items()}


def outside_notes(checks: Sequence[ActionCheck]) -> list[str]:
    """Return a note on how many actions lay outside the space, if any did and are not clipped."""
    outside = sum(check.outside for check in checks if not check.clipped)
    if not outside:
        return []
    actions = sum(check.actions for check in checks)
    return [
        f"{outside} of {actions} actions were outside the action space {checks[0].space}: they went to the "
        "environment as they were, and what it makes of them is its own"
    ]


class _RefusedError(Exception):
    """Actions that the environment cannot take; the text says why."""


class _Check(Protocol):
    @property
    def beyond(self) -> BoolArray | None:
        """The rows (N,) whose latest action lay outside a box; None: none did."""

    def __call__(self, actions: Any, active: BoolArray, entry: str) -> Any: ...


def _check_of(space: gymnasium.Space[Any], num_envs: int, columns: bool) -> _Check:
    if isinstance(space, spaces.Dict):
        return _Entries({key: _check_of(part, num_envs, columns) for key, part in space.spaces.items()}, dict)
    if isinstance(space, spaces.Tuple):
        return _Entries({i: _check_of(part, num_envs, columns) for i, part in enumerate(space.spaces)}, tuple)
    if isinstance(space, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
        return _Numbers(space, num_envs, columns and isinstance(space, spaces.Discrete))
    return _Anything()


class _Anything:
    beyond = None

    def __call__(self, actions: Any, active: BoolArray, entry: str) -> Any:
        if actions is None:
            raise _RefusedError(f"expected actions{entry}, got None")
        return actions


class _Entries:
    """A dict or tuple of batches."""

    def __init__(self, checks: Mapping[Any, _Check], container: type[Any]) -> None:
        self._checks, self._container = checks, container

    @property
    def beyond(self) -> BoolArray | None:
        """A row counts once, however many of its entries are outside."""
        found = [check.beyond for check in self._checks.values() if check.beyond is not None]
        return np.logical_or.reduce(found) if found else None

    def __call__(self, actions: Any, active: BoolArray, entry: str) -> Any:
        keys = list(self._checks)
        if self._container is tuple:
            if not isinstance(actions, (tuple, list)) or len(actions) != len(keys):
                raise _RefusedError(
                    f"expected a tuple of {len(keys)} actions{entry}, got {described(actions)}"
                )
            return tuple(self._checks[i](actions[i], active, f"{entry} [{i}]") for i in keys)
        if not isinstance(actions, Mapping):
            raise _RefusedError(
                f"expected a dict of actions{entry} with the keys {first_few(keys, 20)}, "
                f"got {described(actions)}"
            )
        for key in actions:
            if key not in self._checks:
                raise _RefusedError(
                    f"expected no actions{entry} {key!r}{did_you_mean(str(key), map(str, keys))}"
                )
        for key in keys:
            if key not in actions:
                raise _RefusedError(
                    f"expected actions{entry} {key!r}, got those of {first_few(actions, 20)} alone"
                )
        return {key: self._checks[key](actions[key], active, f"{entry} {key!r}") for key in keys}


_FEW = 32
"""Up to so many numbers Python compares faster than numpy begins."""
_least, _greatest = np.minimum.reduce, np.maximum.reduce  # methods of arrays and keywords cost as much again
_Numeric = spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary


class _Numbers:
    """A batch of numbers."""

    def __init__(self, space: _Numeric, num_envs: int, columns: bool) -> None:
        self._space, self._rows, self._columns = space, num_envs, columns
        self._shape = (num_envs, *(space.shape or ()))
        self._dtype = np.dtype(space.dtype or np.int64)
        self._kind, self._floats = self._dtype.kind, self._dtype.kind == "f"
        self._bits = isinstance(space, spaces.MultiBinary)
        self._low, self._high = _bounds(space)
        # What lies between these lies within the bounds of every entry.
        self._lowest = float(self._low.max()) if self._low.size else -np.inf
        self._highest = float(self._high.min()) if self._high.size else np.inf
        self.beyond: BoolArray | None = None

    def __call__(self, actions: Any, active: BoolArray, entry: str) -> Any:
        self.beyond = None
        if type(actions) is np.ndarray and actions.shape == self._shape:
            if actions.dtype.kind == self._kind and self._within(actions):
                return actions  # the usual step, without a further look
        elif hasattr(actions, "detach"):
            return self._tensor(actions.detach(), active, entry)
        if type(actions) is not np.ndarray:
            actions = self._array(actions, entry)
        kind = actions.dtype.kind
        self._require_kind(kind, actions, entry)
        self._require_shape(actions, entry)
        if kind != "f" and self._floats:
            actions = actions.astype(self._dtype)
        if self._within(actions):
            return actions
        return _replaced(actions, self._look(actions, active, entry), active)

    def _within(self, actions: Any) -> bool:
        """Whether every value is finite and within the bounds: no NaN compares so."""
        if actions.size > _FEW:
            least, greatest = float(_least(actions, None)), float(_greatest(actions, None))
            return self._lowest <= least and greatest <= self._highest
        values = actions.ravel().tolist()
        if not values:
            return True
        total = sum(values)  # NaN if one is: `min` and `max` may pass it over
        return bool(self._lowest <= min(values) and max(values) <= self._highest and total == total)

    def _array(self, actions: Any, entry: str) -> Any:
        """Return an array of another library as numpy's."""
        if hasattr(actions, "mask"):
            raise _RefusedError(f"expected {self._expected(entry)}, got an array with a mask")
        if not (hasattr(actions, "__array__") and hasattr(actions, "dtype")):
            raise _RefusedError(f"expected {self._expected(entry)}, got {described(actions)}")
        return np.asarray(actions)

    def _tensor(self, actions: Any, active: BoolArray, entry: str) -> Any:
        import torch

        dtype = actions.dtype
        kind = "c" if dtype.is_complex else "f" if dtype.is_floating_point else "i"
        kind = "b" if dtype == torch.bool else kind
        if actions.layout != torch.strided or actions.is_quantized:
            layout = "quantized" if actions.is_quantized else "sparse"
            raise _RefusedError(f"expected {self._expected(entry)}, got a {layout} tensor")
        self._require_kind(kind, actions, entry)
        self._require_shape(actions, entry)
        if dtype == torch.bfloat16 or (kind != "f" and self._floats):
            actions = actions.to(torch.float32)
        elif kind == "b":
            actions = actions.to(torch.int64)
        if not actions.numel():
            return actions
        lowest, highest = torch.stack(torch.aminmax(actions)).tolist()  # the one wait for the device
        if self._lowest <= lowest and highest <= self._highest:
            return actions
        if self._floats and np.isfinite([lowest, highest]).all():
            low, high = (torch.as_tensor(bound, device=actions.device) for bound in (self._low, self._high))
            rows = ((actions < low) | (actions > high)).reshape(self._rows, -1).any(dim=1)
            self.beyond = rows.cpu().numpy()
        else:
            return _replaced(actions, self._look(actions.cpu().numpy(), active, entry), active)
        return actions

    def _look(self, actions: Any, active: BoolArray, entry: str) -> BoolArray:
        """Find rows with a value that is not finite, or out of bounds; returns those without an episode."""
        with np.errstate(invalid="ignore"):  # rows without an episode may hold NaN
            beyond = (actions < self._low) | (actions > self._high)
        outside: BoolArray = beyond.reshape(self._rows, -1).any(axis=1)
        if actions.dtype.kind == "f":
            broken: BoolArray = ~np.isfinite(actions.reshape(self._rows, -1)).all(axis=1)
            if (wrong := broken & active).any():
                raise _RefusedError(f"the actions{entry} of {_listed(wrong)} are not finite")
            self.beyond = outside
            return broken
        if (wrong := outside & active).any():
            row = int(np.argmax(wrong))
            raise _RefusedError(
                f"the actions{entry} of {_listed(wrong)} are not in {self._space}: row {row} has "
                f"{actions[row].tolist()}"
            )
        return outside

    def _require_kind(self, kind: str, actions: Any, entry: str) -> None:
        if kind in ("fiu" if self._floats else "iub" if self._bits else "iu"):
            return
        raise _RefusedError(f"expected {self._expected(entry)}, got values of type {actions.dtype}")

    def _require_shape(self, actions: Any, entry: str) -> None:
        shape = tuple(actions.shape)
        if shape != self._shape and not (self._columns and shape == (self._rows, 1)):
            raise _RefusedError(f"expected {self._expected(entry)}, got shape {shape}")

    def _expected(self, entry: str) -> str:
        numbers = "floats" if self._floats else "integers"
        return f"actions{entry} as an array or tensor of {numbers} of shape {self._shape}"


def _replaced(actions: Any, rows: BoolArray, active: BoolArray) -> Any:
    """Return *actions* with those of an active row in *rows*, which have no episode."""
    if not (rows.any() and active.any()):
        return actions
    replaced = actions.clone() if hasattr(actions, "clone") else actions.copy()
    replaced[np.flatnonzero(rows).tolist()] = actions[int(np.argmax(active))]
    return replaced


def _bounds(space: _Numeric) -> tuple[Any, Any]:
    """Return the lowest and the highest value of each entry, as arrays."""
    if isinstance(space, spaces.Box):
        if np.dtype(space.dtype).kind != "f":
            return space.low, space.high
        most = np.finfo(str(space.low.dtype)).max
        return np.clip(space.low, -most, most), np.clip(space.high, -most, most)
    if isinstance(space, spaces.MultiBinary):
        return np.zeros(space.shape, np.int64), np.ones(space.shape, np.int64)
    low = np.asarray(space.start, np.int64)
    values = space.n if isinstance(space, spaces.Discrete) else space.nvec
    return low, low + np.asarray(values, np.int64) - 1


def _listed(rows: BoolArray) -> str:
    numbers = first_few(np.flatnonzero(rows))
    return f"rows {numbers}" if np.count_nonzero(rows) > 1 else f"row {numbers}"
