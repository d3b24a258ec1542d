"""From what an environment shows to what a model was trained on: a map that a job file declares.

Each entry makes one input of the model, under the model's own name for it. All families of learned policies
use this map, so that a wrong order, sign or rotation is mended in the job file, the same way for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from pytest_arena.errors import EvaluationError, did_you_mean
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.sections import StrictModel
from pytest_arena.policies.images import Flip, fitted, flipped
from pytest_arena.simulators.array_types import IndexArray, Observation
from pytest_arena.simulators.arrays import leaves, path_text, spaces_by_path, to_numpy
from pytest_arena.simulators.base import SimEnv

ModelInputs = dict[str, Any]
"""Name of a model's input -> (K, …) array of K rows, or K texts."""


class ObservationEntry(StrictModel):
    """One input of a model: where it comes from, and what is done to it, in the order of the keys below."""

    source: str | Annotated[tuple[str, ...], Field(strict=False)] | None = Field(
        default=None,
        alias="from",
        description="path in the observation, e.g. pixels.top; several are flattened and joined; '.': all",
    )
    camera: str | None = Field(
        default=None, description="the current image of this camera of the environment"
    )
    instruction: Literal[True] | None = Field(default=None, description="the language instruction")
    rotate: Literal[90, 180, 270] | None = Field(
        default=None, description="turn images, in degrees counterclockwise"
    )
    flip: Flip | None = Field(default=None, description="mirror images: left and right, or top and bottom")
    resize: tuple[int, int] | None = Field(
        default=None, strict=False, description="scale images to [height, width] in pixels"
    )
    pad: bool = Field(default=False, description="beside resize: keep the aspect ratio, fill up with black")
    take: tuple[int, ...] | None = Field(
        default=None, strict=False, min_length=1, description="these values, in this order, e.g. [3, 0, 1, 2]"
    )
    scale: float | Annotated[tuple[float, ...], Field(strict=False)] | None = Field(
        default=None, description="multiply by this, or each value by its own"
    )
    dtype: Literal["uint8", "int64", "float32", "float64"] | None = Field(
        default=None, description="the type of the numbers; default: as the environment has them"
    )

    @model_validator(mode="after")
    def _one_source(self) -> ObservationEntry:
        given = [self.source is not None, self.camera is not None, self.instruction is not None]
        if sum(given) != 1:
            raise ValueError("expected exactly one of from, camera and instruction")
        changes = {"rotate", "flip", "resize", "pad", "take", "scale", "dtype"} & self.model_fields_set
        if self.instruction and changes:
            raise ValueError(f"expected nothing beside instruction, got {', '.join(sorted(changes))}")
        if self.pad and self.resize is None:
            raise ValueError("expected resize beside pad: the size that is filled up to")
        if self.resize is not None and min(self.resize) < 1:
            raise ValueError(f"expected resize as [height, width] in pixels, got {list(self.resize)}")
        if self.source == ():
            raise ValueError("expected at least one path as from")
        return self

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of ``from``."""
        if self.source is None:
            return ()
        return (self.source,) if isinstance(self.source, str) else self.source

    @property
    def changes_images(self) -> bool:
        """Whether what it does is for images alone."""
        return self.rotate is not None or self.flip is not None or self.resize is not None


class ObservationMap:
    """Makes a model's inputs from an observation of N rows and from the images of cameras."""

    def __init__(self, entries: Mapping[str, ObservationEntry], env: SimEnv) -> None:
        """Make the map for *env*.

        Args:
            entries: Name of an input of the model -> where it comes from.
            env: The environment whose observations are mapped.

        Raises:
            EvaluationError: The environment has no such part or camera.
        """
        self._entries, self._env = dict(entries), env
        self.task_description: str | None = None
        """The instruction, for the entries that ask for it."""
        known = list(spaces_by_path(env.single_observation_space))
        cameras = env.cameras.names if env.cameras is not None else ()
        for name, entry in self._entries.items():
            for path in entry.paths:
                if path not in known:
                    raise EvaluationError(
                        f"policy.observation.{name}: the observation has no {path!r}"
                        f"{did_you_mean(path, known)}; it has {_listed(known)}"
                    )
            if entry.camera is not None and entry.camera not in cameras:
                raise EvaluationError(
                    f"policy.observation.{name}: the environment has no camera {entry.camera!r}"
                    f"{did_you_mean(entry.camera, cameras)}; it has {_listed(cameras)} (environment.cameras)"
                )
        self._cameras = tuple(dict.fromkeys(e.camera for e in self._entries.values() if e.camera is not None))
        if env.cameras is not None:
            env.cameras.observed = self._cameras

    @staticmethod
    def check(entries: Mapping[str, ObservationEntry] | None, job: Job, cameras_known: bool) -> None:
        """Raise `JobFileError` where an entry needs a camera that *job* does not have.

        Args:
            entries: The map; None: there is none.
            job: Its ``environment.cameras`` are looked at.
            cameras_known: Whether the environment has these cameras and no others.
        """
        for name, entry in (entries or {}).items():
            cameras = job.environment.cameras
            if entry.camera is not None and cameras_known and entry.camera not in cameras:
                raise job.problem(
                    ("policy", "observation", name, "camera"),
                    f"expected a camera of environment.cameras, which has {_listed(cameras)}, got "
                    f"{entry.camera!r}{did_you_mean(entry.camera, cameras)}",
                )

    def __call__(self, observation: Observation, rows: IndexArray) -> ModelInputs:
        """Return the model's inputs for K of the N rows.

        Args:
            observation: (N, …) arrays or tensors, nested as the environment gives them. It is not changed.
            rows: (K,) int64, the rows that are wanted.

        Returns:
            Name -> (K, …) numpy array that the caller owns; for an instruction K texts.

        Raises:
            EvaluationError: What an entry does is not possible with the values that are there.
        """
        parts = {
            path_text(path): batch for path, batch in leaves(observation, self._env.single_observation_space)
        }
        images: Mapping[str, Any] = {}
        if self._cameras and self._env.cameras is not None:
            images = self._env.cameras.frames(rows)
        inputs: ModelInputs = {}
        for name, entry in self._entries.items():
            if entry.instruction:
                inputs[name] = [self.task_description or ""] * len(rows)
                continue
            if entry.camera is not None:
                value = np.asarray(images[entry.camera])
            else:
                value = _joined_rows([_rows_of(parts[path], rows) for path in entry.paths])
            inputs[name] = _changed(name, entry, value)
        return inputs


def whole(env: SimEnv) -> dict[str, ObservationEntry]:
    """Return the map that shows a model each array of an observation under its own path."""
    paths = list(spaces_by_path(env.single_observation_space))
    return {path: ObservationEntry.model_validate({"from": path}) for path in paths}


def describe_inputs(inputs: Mapping[str, Any]) -> str:
    """Return what a model was given, for a message: names, shapes of one row, types and ranges."""
    return "; ".join(f"{name}: {_described(value)}" for name, value in inputs.items())


def _described(value: Any) -> str:
    array = to_numpy(value)
    if not isinstance(array, np.ndarray):
        return f"text {value[0]!r:.60}" if len(value) else "text"
    text = f"{tuple(array.shape[1:])} {array.dtype}"
    if array.size and array.dtype.kind in "fiu":
        text += f" in {np.min(array):.4g} .. {np.max(array):.4g}"
    return text


def _changed(name: str, entry: ObservationEntry, value: Any) -> Any:
    try:
        if entry.changes_images:
            if value.ndim != 4:
                raise ValueError(f"expected images, got values of shape {value.shape[1:]}")
            value = np.rot90(value, (entry.rotate or 0) // 90, axes=(1, 2))
            value = value if entry.flip is None else flipped(value, entry.flip)
            value = value if entry.resize is None else fitted(value, entry.resize, pad=entry.pad)
        if value.ndim == 1 and (entry.take is not None or isinstance(entry.scale, tuple)):
            raise ValueError("expected an array to take values from or scale one by one, got a single number")
        if entry.take is not None:
            value = value[..., list(entry.take)]
        if isinstance(entry.scale, tuple) and value.shape[-1] != len(entry.scale):
            raise ValueError(
                f"expected {value.shape[-1]} numbers to scale by, one for each value, got {len(entry.scale)}"
            )
        if entry.scale is not None:
            value = value * np.asarray(entry.scale, np.result_type(value.dtype, np.float32))
        value = value if entry.dtype is None else value.astype(entry.dtype)
    except (ValueError, IndexError, TypeError) as error:  # a TypeError for texts
        raise EvaluationError(f"policy.observation.{name}: {error}") from None
    return np.ascontiguousarray(value)


def _rows_of(batch: Any, rows: IndexArray) -> Any:
    if isinstance(batch, (tuple, list)):
        return np.array([batch[row] for row in rows])
    if hasattr(batch, "detach"):  # only the rows that are needed leave the device
        return to_numpy(batch[rows.tolist()])
    return np.array(batch[rows])


def _joined_rows(values: Sequence[Any]) -> Any:
    if len(values) == 1:
        return values[0]
    return np.concatenate([value.reshape(len(value), -1) for value in values], axis=1)


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(names) or "none"
