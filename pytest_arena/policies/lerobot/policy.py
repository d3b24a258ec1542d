"""The policy ``lerobot``: a policy that LeRobot trained, asked for one chunk of actions a row."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from pytest_arena.errors import EvaluationError, MissingDependencyError
from pytest_arena.jobs.model import Job
from pytest_arena.policies.action import ActionEntry
from pytest_arena.policies.chunks import ChunkedPolicy, ChunkSettings
from pytest_arena.policies.fingerprints import sha256_of
from pytest_arena.policies.lerobot.checkpoint import FILES, load_checkpoint
from pytest_arena.policies.lerobot.row_noise import noise_by_row
from pytest_arena.policies.model_policy import PassSettings
from pytest_arena.policies.row_generators import RowGenerators
from pytest_arena.simulators.array_types import IndexArray
from pytest_arena.simulators.base import SimEnv
from pytest_arena.simulators.devices import own_device
from pytest_arena.simulators.lerobot import LeRobotEnv

TASK = "task"
"""Where LeRobot's processors look for the language instruction."""
_ACTION, _IMAGES = "action", "observation.images"
_BELOW_A_TRAINING_RUN = ("pretrained_model", "last/pretrained_model", "checkpoints/last/pretrained_model")
_WITHOUT_NOISE = frozenset({"act"})
"""Policies that draw no random numbers in evaluation mode."""


class LeRobotSettings(ChunkSettings, PassSettings):
    """Settings of the policy ``lerobot``."""

    checkpoint: str = Field(
        min_length=1, description="the folder pretrained_model, with config.json and model.safetensors"
    )


class LeRobotPolicy(ChunkedPolicy):
    """A policy of LeRobot with its own processors; each row has its own queue, history and noise.

    LeRobot's ``select_action`` has one queue for a whole batch, which only a reset of all rows empties. Here
    the model is asked for chunks, and each row executes its own.
    """

    Settings = LeRobotSettings
    folder_settings = ("checkpoint",)

    def __init__(self, settings: LeRobotSettings, env: SimEnv) -> None:
        """Load the folder; raises as `load_checkpoint`."""
        self._folder = Path(settings.checkpoint)
        self._device = own_device(settings.device)
        self._batch = settings.passes
        self._loaded = load_checkpoint(self._folder, self._device, settings.execute)
        self._torch: Any = importlib.import_module("torch")
        self._sha256 = sha256_of(self._folder)
        config = self._loaded.config
        self.history = config.n_obs_steps
        own = getattr(config, "temporal_ensemble_coeff", None)
        self._ensemble = own if settings.ensemble is None else None
        # LeRobot passes actions on as they are: what is outside the limits is left to the environment.
        action = settings.action or ActionEntry(clip=False)
        super().__init__(settings.model_copy(update={"action": action}), env)
        if settings.ensemble is None:
            self.execute = settings.execute or getattr(config, "n_action_steps", None)
        self.reproducible = self._batch == "single"
        self.deterministic = self.reproducible and config.type in _WITHOUT_NOISE

    @classmethod
    def check(cls, settings: Any, job: Job) -> None:
        """Check that the folder is one that LeRobot saved a policy in."""
        super().check(settings, job)
        folder = Path(settings.checkpoint)
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            inside = (folder / path for path in _BELOW_A_TRAINING_RUN)
            inner = next((path for path in inside if (path / FILES[0]).is_file()), None)
            hint = "" if inner is None else f"; {inner} is such a folder"
            raise job.problem(
                ("policy", "checkpoint"),
                f"expected what LeRobot saves of a policy, {folder} has no {', '.join(missing)}{hint}",
            )

    def forget(self, rows: IndexArray, seeds: Sequence[int]) -> None:
        """Begin the noise of these rows anew; what their ensembles held is gone."""
        self._generators.seed(rows, seeds)
        for row, seed in zip(rows.tolist(), seeds, strict=True):
            self._noises[row] = self._torch.Generator(self._device).manual_seed(seed)
            self._ensembles_of_rows.pop(row, None)

    def plan(self, rows: IndexArray, inputs: Mapping[str, Any]) -> list[Any]:
        """Return a chunk for each of *rows*: in one pass, or in one for each."""
        count = len(rows)
        together = [np.arange(count)] if self._batch == "all" else [np.array([i]) for i in range(count)]
        chunks: list[Any] = []
        for group in together:
            part = {name: _rows_of(value, group) for name, value in inputs.items()}
            try:
                chunks += self._chunks(rows[group], part)
            except (RuntimeError, ValueError, TypeError, KeyError, IndexError, AssertionError) as error:
                reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
                raise EvaluationError(f"checkpoint {self._folder} failed: {reason}") from error
            except ImportError as error:
                raise MissingDependencyError(f"checkpoint {self._folder}: {error}") from error
        return chunks

    @property
    def identity(self) -> Mapping[str, Any]:
        """The folder, the hash of all its files, and how it runs."""
        return {
            "checkpoint": str(self._folder),
            "sha256": self._sha256,
            "type": self._loaded.config.type,
            "lerobot": importlib.metadata.version("lerobot"),
            "torch": str(self._torch.__version__),
            "device": self._device,
            "batch": self._batch,
            "execute": self.execute,
        }

    def _prepare(self, env: SimEnv) -> None:
        super()._prepare(env)
        self._generators = RowGenerators(env.num_envs, self._device)
        self._noises: dict[int, Any] = {}
        self._ensembles_of_rows: dict[int, Any] = {}
        self._before_env: Any = None
        self._after_env: Any = None
        if isinstance(env, LeRobotEnv):
            factory: Any = importlib.import_module("lerobot.envs.factory")
            made = factory.make_env_pre_post_processors(env.config, self._loaded.config)
            self._before_env, self._after_env = made

    def _chunks(self, rows: IndexArray, inputs: Mapping[str, Any]) -> list[Any]:
        """Return an array (H, A) for each of K rows, from one pass of the model."""
        parts = [_step_of(inputs, step, self.history) for step in range(self.history)]
        steps = [self._features(part, len(rows)) for part in parts]
        with self._torch.inference_mode(), self._precision(), self._noise(rows):
            actions = self._predict(steps)
        if actions.ndim != 3 or len(actions) != len(rows):
            raise EvaluationError(f"expected actions ({len(rows)}, H, A), got {tuple(actions.shape)}")
        if self._ensemble is not None:
            actions = self._ensembled(rows, actions)
        elif self.execute is not None:
            if actions.shape[1] < self.execute:
                raise EvaluationError(
                    f"policy.execute: this model predicts {actions.shape[1]} actions at once, got "
                    f"{self.execute}"
                )
            actions = actions[:, : self.execute]
        ready = [self._environment_action(actions[:, step]) for step in range(actions.shape[1])]
        return list(np.stack(ready, axis=1))

    def _features(self, inputs: Mapping[str, Any], count: int) -> dict[str, Any]:
        """Return the model's input of one step of *count* rows, as LeRobot's pre-processor makes it."""
        if self._settings.observation is not None:
            features = {name: self._tensor(name, value) for name, value in inputs.items()}
        else:
            utils: Any = importlib.import_module("lerobot.envs.utils")
            features = utils.preprocess_observation(_nested(inputs))
        features.setdefault(TASK, [self._task_description or ""] * count)
        if self._before_env is not None and self._settings.observation is None:
            features = self._before_env(features)
        batch: dict[str, Any] = self._loaded.before(features)
        batch.pop(_ACTION, None)  # the place for what a model is trained on
        self._require_features(batch, features)
        return batch

    def _tensor(self, name: str, value: Any) -> Any:
        """Return an input of the observation map as LeRobot has it: images (K, C, H, W) in 0 .. 1."""
        if isinstance(value, list):
            return value
        tensor = self._torch.from_numpy(value)
        if not name.startswith("observation.image"):
            return tensor.float()
        if value.ndim != 4 or value.dtype != np.uint8:
            raise EvaluationError(
                f"policy.observation.{name}: expected uint8 images (height, width, channels), got "
                f"{value.dtype} of shape {value.shape[1:]}"
            )
        return tensor.permute(0, 3, 1, 2).contiguous().float() / 255

    def _require_features(self, batch: Mapping[str, Any], features: Mapping[str, Any]) -> None:
        """Raise `EvaluationError` where the model's inputs are not all in its *batch*."""
        wanted = self._loaded.config.input_features or {}
        images = [name for name in wanted if name in self._loaded.config.image_features]
        missing = [name for name in wanted if name not in batch and name not in images]
        if images and not any(name in batch for name in images):
            missing += images  # some policies do with a part of their cameras
        if missing:
            has = ", ".join(name for name in features if name.startswith("observation.")) or "none"
            raise EvaluationError(
                f"the model needs {', '.join(missing)}, and of its inputs there are {has}: say under "
                "policy.observation where each comes from"
            )

    def _predict(self, steps: Sequence[Mapping[str, Any]]) -> Any:
        """Return actions (K, H, A) from the latest steps, the last one now."""
        model = self._loaded.model
        model.reset()
        queues = getattr(model, "_queues", None) or {}
        if not any(name != _ACTION for name in queues):
            if len(steps) > 1:
                raise EvaluationError(
                    f"LeRobot's {model.name} keeps its past in a way that is not known here"
                )
            return model.predict_action_chunk(dict(steps[-1]))
        utils: Any = importlib.import_module("lerobot.policies.utils")
        for step in steps:
            batch = dict(step)
            if _IMAGES in queues:
                images = [batch[name] for name in self._loaded.config.image_features]
                batch[_IMAGES] = self._torch.stack(images, dim=-4)
            model._queues = utils.populate_queues(model._queues, batch)
        return model.predict_action_chunk(batch)

    def _ensembled(self, rows: IndexArray, actions: Any) -> Any:
        """Return actions (K, 1, A): LeRobot's own average of all plans of a row that speak of this step."""
        module: Any = importlib.import_module(type(self._loaded.model).__module__)
        averaged = []
        for index, row in enumerate(rows.tolist()):
            if row not in self._ensembles_of_rows:
                length = self._loaded.config.chunk_size
                self._ensembles_of_rows[row] = module.ACTTemporalEnsembler(self._ensemble, length)
            averaged.append(self._ensembles_of_rows[row].update(actions[index : index + 1]))
        return self._torch.stack(averaged, dim=1).transpose(0, 1)

    def _environment_action(self, actions: Any) -> Any:
        """Return actions (K, A) of one step, as the environment takes them."""
        actions = self._loaded.after(actions)
        if self._after_env is not None:
            actions = self._after_env({_ACTION: actions})[_ACTION]
        return actions.to("cpu").float().numpy()

    @contextmanager
    def _noise(self, rows: IndexArray) -> Iterator[None]:
        """Let each row draw from its own generator."""
        if self._batch == "single":
            with self._generators.turn_of(int(rows[0])):
                yield
        else:
            with noise_by_row([self._noises[row] for row in rows.tolist()]):
                yield

    def _precision(self) -> Any:
        enabled = bool(self._loaded.config.use_amp)
        return self._torch.autocast(device_type=self._device.partition(":")[0], enabled=enabled)


def _rows_of(value: Any, rows: IndexArray) -> Any:
    return [value[row] for row in rows] if isinstance(value, list) else value[rows]


def _step_of(inputs: Mapping[str, Any], step: int, history: int) -> Mapping[str, Any]:
    """Return the inputs of one of *history* steps: with a single one they have no axis of steps."""
    if history == 1:
        return inputs
    return {
        name: value if isinstance(value, list) else np.ascontiguousarray(value[:, step])
        for name, value in inputs.items()
    }


def _nested(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the observation as the environment gave it: ``pixels.top`` is in ``pixels``."""
    nested: dict[str, Any] = {}
    for path, value in inputs.items():
        *parents, name = path.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = value
    return nested
