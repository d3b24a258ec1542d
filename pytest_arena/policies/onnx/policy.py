"""The policy ``onnx``: a model of whatever made it, run by onnxruntime on the CPU or a GPU."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pytest_arena.errors import EvaluationError
from pytest_arena.policies.file_kinds import other_kind
from pytest_arena.policies.fingerprints import sha256_of
from pytest_arena.policies.model_policy import FileSettings, ModelPolicy
from pytest_arena.policies.onnx.model import OnnxModel, Slot
from pytest_arena.simulators.array_types import IndexArray
from pytest_arena.simulators.arrays import to_numpy
from pytest_arena.simulators.base import SimEnv


class OnnxSettings(FileSettings):
    """Settings of the policy ``onnx``."""

    checkpoint: str = Field(min_length=1, description="the .onnx file")
    device: str = Field(default="cpu", description="cpu, or cuda:0 with onnxruntime-gpu")
    states: dict[str, str] | None = Field(
        default=None,
        description="input -> output that is its next value; default: h_in -> h_out and other usual names",
    )


class OnnxPolicy(ModelPolicy):
    """A model from observations to actions."""

    Settings = OnnxSettings

    def __init__(self, settings: OnnxSettings, env: SimEnv) -> None:
        """Load the model."""
        super().__init__(settings, env)
        try:
            self.model = OnnxModel(self.file, self.device, env.num_envs, settings.states)
            self.batch = batch_for(self.model, self.batch, settings.batch, env.num_envs)
        except (OSError, ValueError) as error:
            raise EvaluationError(f"{self.unreadable(error)}{other_kind(self.file, 'onnx')}") from None
        self.reproducible = self.deterministic = self.batch == "single" and not self.model.draws

    def inputs(self, observation: Any) -> dict[str, NDArray[Any]]:
        """Return name -> array (N, …) of each input of the model."""
        return {
            name: fitting(name, to_numpy(part), self.model.inputs[name])
            for name, part in self._named(observation).items()
        }

    def forget(self, rows: IndexArray, seeds: Sequence[int]) -> None:
        """Forget the states of *rows*."""
        self.model.forget(rows)

    def compute(self, rows: IndexArray, inputs: Any) -> Any:
        """Return the model's only output, or the one that is called actions; a dict of all for ``action``."""
        found = self.model(rows, inputs)
        if self._actions is not None:
            return found
        named = [name for name in ("actions", "action") if name in found]
        return found[named[0]] if named else only(found)

    @property
    def identity(self) -> Mapping[str, Any]:
        """The files' paths and hashes, and how the model runs."""
        weights = Path(f"{self.file}.data")
        runtime = importlib.import_module("onnxruntime")
        beside = {"weights_sha256": sha256_of(weights)} if weights.is_file() else {}
        return {**super().identity, **beside, "onnxruntime": str(runtime.__version__)}

    def _named(self, observation: Any) -> dict[str, Any]:
        wanted = list(self.model.inputs)
        if not isinstance(observation, Mapping) or (len(wanted) == len(observation) == 1):
            parts = observation.values() if isinstance(observation, Mapping) else [observation]
            if len(wanted) > 1:
                lacks = ", ".join(wanted)
                raise EvaluationError(f"{self.file}: it has the inputs {lacks}: set observation for each")
            return dict(zip(wanted, parts, strict=True))
        if missing := [name for name in wanted if name not in observation]:
            raise EvaluationError(
                f"{self.file}: it has the inputs {', '.join(wanted)}, and the observation has no "
                f"{', '.join(missing)} but {', '.join(map(str, observation))}: set observation"
            )
        return {name: observation[name] for name in wanted}


def batch_for(model: OnnxModel, usual: Any, wanted: str, num_envs: int) -> Any:
    """Return ``single`` or ``all``, as *model* can take the rows.

    Args:
        model: It may take a fixed number of rows.
        usual: What is taken where it takes any.
        wanted: What the job says.
        num_envs: N, the number of rows.

    Returns:
        How to run it.

    Raises:
        ValueError: It takes another number of rows than the job has.
    """
    if model.rows is None:
        return usual
    if model.rows == 1 and wanted != "all":
        return "single"
    if model.rows == num_envs and wanted != "single":
        return "all"
    raise ValueError(
        f"it takes {model.rows} rows at a time, and the job has {num_envs} rows with batch: {wanted}"
    )


def fitting(name: str, value: Any, slot: Slot) -> NDArray[Any]:
    """Return *value* (N, …) as the input *name* takes it: its type, and images with their channels first.

    Args:
        name: Of the input.
        value: An array of N rows.
        slot: The input's shape and type.

    Returns:
        The array.

    Raises:
        EvaluationError: It has another shape, or is no array of numbers.
    """
    array = np.asarray(value)
    shape = array.shape[1:]
    if len(shape) == 3 and not _fits(shape, slot.row) and _fits((shape[2], *shape[:2]), slot.row):
        array = array.transpose(0, 3, 1, 2)
    elif not _fits(shape, slot.row):
        wanted = tuple("any" if size is None else size for size in slot.row)
        raise EvaluationError(f"the input {name} takes the shape {wanted}, the observation gives {shape}")
    if array.dtype.kind not in "fiub" or (array.dtype.kind == "f" and np.dtype(slot.dtype).kind != "f"):
        raise EvaluationError(
            f"the input {name} takes {np.dtype(slot.dtype)}, the observation gives {array.dtype}"
        )
    return np.ascontiguousarray(array, slot.dtype)


def only(found: Mapping[str, Any]) -> Any:
    """Return the one value in *found*; *found* itself where it has several."""
    return next(iter(found.values())) if len(found) == 1 else found


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(b in (None, a) for a, b in zip(shape, wanted, strict=True))
