"""What policies from files share: a forward pass for each row or one for all, and what it must give."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import gymnasium
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pytest_arena.errors import EvaluationError
from pytest_arena.jobs.sections import StrictModel
from pytest_arena.policies.action import ActionMap
from pytest_arena.policies.fingerprints import sha256_of
from pytest_arena.policies.mapped_policy import MappedPolicy, ModelSettings
from pytest_arena.policies.observation import describe_inputs
from pytest_arena.simulators.array_types import Action, IndexArray, Observation
from pytest_arena.simulators.arrays import leaves, row_of, to_numpy
from pytest_arena.simulators.base import SimEnv
from pytest_arena.simulators.devices import own_device

BatchMode: TypeAlias = Literal["all", "single"]


class PassSettings(StrictModel):
    """Settings of every policy whose model runs in this process: where, and for how many rows in one pass."""

    device: str = Field(default="cpu", description="where the model runs, e.g. cpu, cuda:0")
    batch: Literal["auto", "all", "single"] = Field(
        default="auto",
        description="single: one forward pass a row, so that an action does not depend on the other rows; "
        "auto: single on the cpu",
    )

    @property
    def passes(self) -> BatchMode:
        """``batch``, with what ``auto`` means."""
        if self.batch != "auto":
            return self.batch
        return "single" if self.device == "cpu" else "all"


class FileSettings(ModelSettings, PassSettings):
    """Settings that all policies from files have."""

    checkpoint: str = Field(min_length=1, description="the file with the policy")
    clip: bool = Field(default=True, description="clip actions to the limits of the action space")

    @model_validator(mode="after")
    def _one_clip(self) -> FileSettings:
        if self.action is not None and "clip" in self.model_fields_set:
            raise ValueError("expected clip in action, where there is one: action: {clip: …}")
        return self


class ModelPolicy(MappedPolicy):
    """A model from a file that answers the observations of some rows with their actions.

    A family loads its file in its constructor and has `compute`; where its model remembers something of a
    row, it forgets that in `forget`.
    """

    file_settings: ClassVar[tuple[str, ...]] = ("checkpoint",)

    def __init__(self, settings: FileSettings, env: SimEnv) -> None:
        """Take note of the file and of the action space.

        Raises:
            EvaluationError: The file cannot be read.
        """
        self.file = Path(settings.checkpoint)
        self.device = own_device(settings.device)
        self.batch: BatchMode = settings.passes
        self.num_envs = env.num_envs
        self.space = space = env.single_action_space
        box = space if settings.clip and isinstance(space, gymnasium.spaces.Box) else None
        self._limits = None if box is None else (box.low, box.high)
        self._actions = None if settings.action is None else ActionMap(settings.action, env)
        super().__init__(settings, env)
        try:
            self._sha256 = sha256_of(self.file)
        except (OSError, ValueError) as error:
            raise self.unreadable(error) from None

    def _prepare(self, env: SimEnv) -> None:
        super()._prepare(env)
        self.running[:] = True  # whoever asks it without a reset gets an answer for each row

    @abstractmethod
    def compute(self, rows: IndexArray, inputs: Any) -> Any:
        """Return the answers of the model for *rows*: the actions (K, *action shape), or a dict of arrays.

        Args:
            rows: (K,) indices of rows, from 0: one row, or all of them.
            inputs: What `inputs` gave, of these rows alone: arrays or tensors (K, …).

        Returns:
            An array or a tensor, on any device. A dict of them needs the job's ``action`` to choose from it.
        """

    def inputs(self, observation: Any) -> Any:
        """Return what `compute` needs of an observation: an array or tensor (N, …), or a dict of such.

        With ``observation`` in the job, *observation* is what its map gives: name -> array (K, …) or K texts.
        """
        return observation

    def act(self, observation: Observation) -> Action:
        """Return actions (N, A): a tensor on the observation's device, or an array for an array."""
        if not self.running.any():  # all rows have ended, and reset themselves in the step that comes
            idle = np.zeros((self.num_envs, *(self.space.shape or ())), self.space.dtype)
            return self._like(idle, observation)
        together = self.batch == "all"
        rows = np.arange(self.num_envs) if together else np.flatnonzero(self.running)
        given = observation if self.observed is None else self.observed(observation, rows)
        inputs = self.inputs(given)
        try:
            if together:
                answer = self.compute(rows, inputs)
            else:
                places = rows.tolist() if self.observed is None else range(len(rows))
                turns = zip(rows, places, strict=True)
                answer = _joined([self.compute(np.array([row]), row_of(inputs, at)) for row, at in turns])
        except (RuntimeError, AssertionError, TypeError, ValueError) as error:
            raise self._failed(given, inputs, error) from error
        actions = self._checked(answer if self._actions is None else self._mapped(answer, rows), rows)
        return self._like(_spread(actions, rows, self.num_envs), observation)

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

    def _mapped(self, answer: Any, rows: IndexArray) -> NDArray[Any]:
        """Return the actions (K, *action shape) that the job's ``action`` makes of the *answer*."""
        assert self._actions is not None
        actions = [self._actions(_answer_of(answer, place)) for place in range(len(rows))]
        longest = max(map(len, actions))
        if longest > 1:
            raise EvaluationError(f"{self.file}: expected one action a row, got a chunk of {longest}")
        return np.concatenate(actions)

    def _failed(self, given: Any, inputs: Any, error: Exception) -> EvaluationError:
        """Return what is raised where the model fails with *error* on *inputs*, made of what was *given*."""
        if self.observed is not None:
            found = describe_inputs(given)
        else:
            parts = {".".join(map(str, path)): getattr(part, "shape", ()) for path, part in leaves(inputs)}
            shapes = [f"{name} {tuple(shape)}".strip() for name, shape in parts.items()]
            found = f"of shape {', '.join(shapes)}"
        return EvaluationError(f"{self.file} failed on observations {found} (batch: {self.batch}): {error}")

    def _checked(self, actions: Any, rows: IndexArray) -> Any:
        """Return *actions* within the limits; `EvaluationError` where they are none of *rows*."""
        expected = (len(rows), *(self.space.shape or ()))
        if isinstance(actions, Mapping):
            known = ", ".join(actions)
            raise EvaluationError(f"{self.file}: it has the outputs {known}: say which, action: {{from: …}}")
        got = tuple(actions.shape) if hasattr(actions, "shape") else type(actions).__name__
        if got != expected:
            raise EvaluationError(f"{self.file}: expected actions of shape {expected}, got {got}")
        lib: Any = _torch() if is_tensor(actions) else np
        if lib.is_complex(actions) if lib is not np else np.iscomplexobj(actions):
            raise EvaluationError(f"{self.file}: expected real actions, got {actions.dtype}")
        finite = lib.isfinite(actions).reshape(len(rows), -1).all(1)
        if not finite.all():
            wrong = [
                int(row) for row, good in zip(rows, finite, strict=True) if not good and self.running[row]
            ]
            if wrong:
                raise EvaluationError(f"{self.file}: the actions of rows {wrong} are not finite")
        if self._limits is None or self._actions is not None:
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


def _answer_of(answer: Any, place: int) -> Any:
    """Return the answer for one row of several, (…), with tensors as arrays."""
    if isinstance(answer, Mapping):
        return {name: to_numpy(part)[place] for name, part in answer.items()}
    return to_numpy(answer)[place]


def _joined(answers: Sequence[Any]) -> Any:
    """Return the (1, …) *answers* of K rows as one, or the first that has no shape."""
    if all(isinstance(answer, Mapping) for answer in answers):
        return {name: _joined([answer[name] for answer in answers]) for name in answers[0]}
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
