"""What policies from files share: a forward pass for each row or one for all, and what it must give."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import gymnasium
import numpy as np
from pydantic import Field

from pytest_arena.errors import EvaluationError
from pytest_arena.jobs.sections import StrictModel
from pytest_arena.policies.base import Policy
from pytest_arena.policies.fingerprints import sha256_of
from pytest_arena.records.schema import Episode
from pytest_arena.simulators.array_types import Action, IndexArray, Observation
from pytest_arena.simulators.arrays import leaves
from pytest_arena.simulators.base import SimEnv
from pytest_arena.simulators.devices import own_device

BatchMode: TypeAlias = Literal["all", "single"]


class FileSettings(StrictModel):
    """Settings that all policies from files have."""

    checkpoint: str = Field(min_length=1, description="the file with the policy")
    device: str = Field(default="cpu", description="where the model runs, e.g. cpu, cuda:0")
    batch: Literal["auto", "all", "single"] = Field(
        default="auto",
        description="single: one forward pass a row, so that an action does not depend on the other rows; "
        "auto: single on the cpu",
    )
    clip: bool = Field(default=True, description="clip actions to the limits of the action space")


class ModelPolicy(Policy):
    """A model from a file that answers the observations of some rows with their actions.

    A family loads its file in its constructor and has `compute`; where its model remembers something of a
    row, it forgets that in `begin_episodes`.
    """

    file_settings: ClassVar[tuple[str, ...]] = ("checkpoint",)

    def __init__(self, settings: FileSettings, env: SimEnv) -> None:
        """Take note of the file and of the action space.

        Raises:
            EvaluationError: The file cannot be read.
        """
        self.file = Path(settings.checkpoint)
        self.device = own_device(settings.device)
        automatic: BatchMode = "single" if settings.device == "cpu" else "all"
        self.batch: BatchMode = automatic if settings.batch == "auto" else settings.batch
        self.num_envs = env.num_envs
        self.space = space = env.single_action_space
        box = space if settings.clip and isinstance(space, gymnasium.spaces.Box) else None
        self._limits = None if box is None else (box.low, box.high)
        self._running = np.ones(env.num_envs, np.bool_)
        try:
            self._sha256 = sha256_of(self.file)
        except (OSError, ValueError) as error:
            raise self.unreadable(error) from None

    @abstractmethod
    def compute(self, rows: IndexArray, inputs: Any) -> Any:
        """Return the actions (K, *action shape) of *rows*, as an array or a tensor on any device.

        Args:
            rows: (K,) indices of rows, from 0: one row, or all of them.
            inputs: What `inputs` gave, of these rows alone: arrays or tensors (K, …).

        Returns:
            The actions, an array for an array and a tensor for a tensor, or a tensor for either.
        """

    def begin_episodes(self, rows: IndexArray, seeds: Sequence[int]) -> None:
        """Forget what the model remembers of *rows* (K,), which begin episodes with *seeds*."""

    def inputs(self, observation: Observation) -> Any:
        """Return what `compute` needs of an observation of all N rows: an array (N, …), or a dict of such."""
        return observation

    def act(self, observation: Observation) -> Action:
        """Return actions (N, A): a tensor on the observation's device, or an array for an array."""
        inputs = self.inputs(observation)
        together = self.batch == "all" or not self._running.any()
        rows = np.arange(self.num_envs) if together else np.flatnonzero(self._running)
        try:
            if together:
                actions = self.compute(rows, inputs)
            else:
                actions = _joined(
                    [self.compute(rows[[i]], part_of(inputs, rows[i])) for i in range(len(rows))]
                )
        except (RuntimeError, AssertionError, TypeError, ValueError) as error:
            raise self._failed(inputs, error) from error
        return self._like(_spread(self._checked(actions, rows), rows, self.num_envs), observation)

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> None:
        """Begin episodes in these rows: nothing is left of what the model remembered of them."""
        rows = np.arange(self.num_envs) if env_ids is None else np.asarray(env_ids)
        self._running[rows] = True
        self.begin_episodes(rows, [int(row) for row in rows] if seeds is None else seeds)

    def end_episodes(self, env_ids: IndexArray, episodes: Sequence[Episode]) -> None:
        """Compute nothing for these rows until they begin another episode."""
        self._running[env_ids] = False

    @property
    def identity(self) -> Mapping[str, Any]:
        """The file's path and hash, and how the model runs."""
        return {
            "checkpoint": str(self.file),
            "sha256": self._sha256,
            "device": self.device,
            "batch": self.batch,
        }

    def unreadable(self, error: Exception) -> EvaluationError:
        """Return what is raised where *error* keeps the file from being read."""
        reason = getattr(error, "strerror", None) or error
        return EvaluationError(f"checkpoint {self.file} cannot be read: {reason}")

    def _failed(self, inputs: Any, error: Exception) -> EvaluationError:
        """Return what is raised where the model fails with *error* on *inputs*."""
        shapes = {
            ".".join(map(str, path)): tuple(getattr(leaf, "shape", ())) for path, leaf in leaves(inputs)
        }
        found = shapes[""] if list(shapes) == [""] else ", ".join(f"{k} {v}" for k, v in shapes.items())
        return EvaluationError(
            f"{self.file} failed on observations of shape {found} (batch: {self.batch}): {error}"
        )

    def _checked(self, actions: Any, rows: IndexArray) -> Any:
        """Return *actions* within the limits; `EvaluationError` where they are none of *rows*."""
        expected = (len(rows), *(self.space.shape or ()))
        got = tuple(actions.shape) if hasattr(actions, "shape") else type(actions).__name__
        if got != expected:
            raise EvaluationError(f"{self.file}: expected actions of shape {expected}, got {got}")
        lib: Any = _torch() if is_tensor(actions) else np
        if lib.is_complex(actions) if lib is not np else np.iscomplexobj(actions):
            raise EvaluationError(f"{self.file}: expected real actions, got {actions.dtype}")
        finite = lib.isfinite(actions).reshape(len(rows), -1).all(1)
        if not finite.all():
            wrong = [
                int(row) for row, good in zip(rows, finite, strict=True) if not good and self._running[row]
            ]
            if wrong:
                raise EvaluationError(f"{self.file}: the actions of rows {wrong} are not finite")
        if self._limits is None:
            return actions
        low, high = self._limits
        if lib is not np:
            return actions.clamp(lib.as_tensor(low).to(actions), lib.as_tensor(high).to(actions))
        return np.clip(actions, low, high)

    def _like(self, actions: Any, observation: Observation) -> Action:
        """Return *actions* as what *observation* is: a tensor on its device, else an array."""
        tensor = next((leaf for _, leaf in leaves(observation) if is_tensor(leaf)), None)
        if tensor is not None:
            return _torch().as_tensor(actions).to(tensor.device)
        array = actions.cpu().numpy() if is_tensor(actions) else actions
        return array.astype(self.space.dtype)


def is_tensor(value: Any) -> bool:
    """Whether *value* is a PyTorch tensor; imports nothing."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def part_of(inputs: Any, row: Any) -> Any:
    """Return *row* of *inputs*, as K = 1: of an array or tensor (N, …), a list of N, or a dict of such."""
    if isinstance(inputs, Mapping):
        return {name: part_of(batch, row) for name, batch in inputs.items()}
    return inputs[row : row + 1]


def _joined(answers: Sequence[Any]) -> Any:
    """Return the (1, …) *answers* of K rows as one, or the first that has no shape."""
    other = [answer for answer in answers if not hasattr(answer, "shape")]
    if other or len(answers) == 1:
        return (other or answers)[0]
    return _torch().cat(list(answers)) if is_tensor(answers[0]) else np.concatenate(answers)


def _spread(actions: Any, rows: IndexArray, num_envs: int) -> Any:
    """Return *actions* of K *rows* as (N, …), with zeros in the rows that have no episode."""
    if len(rows) == num_envs:
        return actions
    shape = (num_envs, *actions.shape[1:])
    spread = actions.new_zeros(shape) if is_tensor(actions) else np.zeros(shape, actions.dtype)
    spread[rows] = actions
    return spread


def _torch() -> Any:
    return sys.modules["torch"]
