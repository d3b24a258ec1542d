"""The policy ``rsl_rl``: a checkpoint of a training run, or what was exported of one."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
from pydantic import Field

from pytest_arena.errors import EvaluationError, MissingDependencyError
from pytest_arena.policies.file_kinds import kind_of_file, other_kind
from pytest_arena.policies.fingerprints import sha256_of
from pytest_arena.policies.model_policy import FileSettings, ModelPolicy
from pytest_arena.policies.rsl_rl.checkpoint import Checkpoint
from pytest_arena.policies.rsl_rl.exported import ExportedOnnx, ExportedScript
from pytest_arena.policies.rsl_rl.runner_config import NAME, RunnerConfig, find_config, read_config
from pytest_arena.simulators.array_types import IndexArray
from pytest_arena.simulators.base import SimEnv
from pytest_arena.simulators.devices import torch_device

_USUAL_GROUPS = ("policy", "actor")
"""What Isaac Lab and mjlab call the observation of the policy."""


class RslRlSettings(FileSettings):
    """Settings of the policy ``rsl_rl``."""

    checkpoint: str = Field(
        min_length=1, description="model_*.pt of a training run, or the exported policy.pt or policy.onnx"
    )
    config: str | None = Field(
        default=None, description="the run's configuration; default: params/agent.yaml beside the checkpoint"
    )


class RslRlPolicy(ModelPolicy):
    """The mean actions of a policy that rsl_rl trained, as its runners' inference policy gives them."""

    Settings = RslRlSettings
    file_settings = ("checkpoint", "config")

    def __init__(self, settings: RslRlSettings, env: SimEnv) -> None:
        """Load the checkpoint, or the export."""
        if importlib.util.find_spec("torch") is None:
            raise MissingDependencyError("the policy rsl_rl needs torch: pip install 'pytest-arena[rsl_rl]'")
        self._torch: Any = importlib.import_module("torch")
        super().__init__(settings, env)
        self._config = _config_of(settings.config, self.file)
        try:
            self._model = self._loaded(env)
            self._fit_batch(settings.batch)
        except (OSError, ValueError) as error:
            kinds = ("saved", "script", "onnx")
            raise EvaluationError(f"{self.unreadable(error)}{other_kind(self.file, *kinds)}") from None
        self._groups = self._groups_of(env)
        if isinstance(self._model, Checkpoint):
            self._require_fit(self._model, env)
        stateless = isinstance(self._model, Checkpoint) or self._model.stateless
        self.reproducible = self.deterministic = self.batch == "single" and stateless

    def inputs(self, observation: Any) -> dict[str, Any]:
        """Return group -> tensor (N, d) of what the policy sees, in single precision."""
        if not isinstance(observation, Mapping):
            return {self._groups[0]: self._tensor(observation)}
        missing = [name for name in self._groups if name not in observation]
        if missing:
            has = ", ".join(map(str, observation))
            raise EvaluationError(
                f"{self.file}: the policy sees {', '.join(self._groups)}, and the observation has no "
                f"{', '.join(missing)} but {has}: set observation"
            )
        return {name: self._tensor(observation[name]) for name in self._groups}

    def forget(self, rows: IndexArray, seeds: Sequence[int]) -> None:
        """Forget what the model remembers of *rows*."""
        self._model.forget(rows)

    def compute(self, rows: IndexArray, inputs: Any) -> Any:
        """Return the model's actions (K, A), within the ``clip_actions`` of its run."""
        actions = self._model(rows, inputs)
        limit = None if self._config is None else self._config.clip_actions
        return actions if limit is None else actions.clip(-limit, limit)

    @property
    def identity(self) -> Mapping[str, Any]:
        """The files' paths and hashes, and how the model runs."""
        config = self._config
        found = (
            {} if config is None else {"config": str(config.path), "config_sha256": sha256_of(config.path)}
        )
        if isinstance(self._model, Checkpoint):
            found["rsl_rl"] = importlib.metadata.version("rsl-rl-lib")
        return {**super().identity, **found, "torch": str(self._torch.__version__)}

    def _loaded(self, env: SimEnv) -> Checkpoint | ExportedScript | ExportedOnnx:
        kind = kind_of_file(self.file)
        if kind in ("script", "saved"):
            torch_device(self.device, "policy.device")
        if kind == "script":
            return ExportedScript(self.file, self.device, env.num_envs)
        if kind == "onnx" or self.file.suffix == ".onnx":
            return ExportedOnnx(self.file, self.device, env.num_envs)
        if kind != "saved":
            raise ValueError("expected a checkpoint of rsl_rl, or a policy that was exported of one")
        if importlib.util.find_spec("rsl_rl") is None:
            raise MissingDependencyError(
                "the policy rsl_rl needs rsl-rl-lib: pip install 'pytest-arena[rsl_rl]'"
            )
        if self._config is None:
            raise ValueError(f"expected {NAME} beside it, the configuration of its run: set config")
        return Checkpoint(self.file, self._config, self.device, env.num_envs, _shapes_of(env))

    def _fit_batch(self, wanted: str) -> None:
        if isinstance(self._model, Checkpoint) or self._model.rows is None:
            return
        if self._model.rows != 1 or wanted == "all":
            raise ValueError(f"it takes {self._model.rows} rows at a time: batch: {wanted} cannot be")
        self.batch = "single"

    def _groups_of(self, env: SimEnv) -> tuple[str, ...]:
        """Return which parts of the observation the policy sees, in their order."""
        space = env.single_observation_space
        parts = self._entries or (space.spaces if isinstance(space, gymnasium.spaces.Dict) else {})
        if isinstance(self._model, Checkpoint) and self._model.groups:
            return tuple(self._model.groups)
        if self._config is not None and not isinstance(self._model, Checkpoint):
            for role in ("actor", "student", "policy"):
                if role in self._config.groups:
                    return self._config.groups[role]
        if self._entries:
            return tuple(self._entries)
        usual = [name for name in _USUAL_GROUPS if name in parts]
        if parts and not usual and len(parts) > 1:
            raise EvaluationError(
                f"{self.file}: nothing says which parts of the observation the policy sees; it has "
                f"{', '.join(map(str, parts))}: set observation"
            )
        return (usual[0],) if usual else tuple(map(str, parts)) or _USUAL_GROUPS[:1]

    def _require_fit(self, model: Checkpoint, env: SimEnv) -> None:
        """Check the sizes of observations and actions; `EvaluationError`, one line that says both."""
        actions = env.single_action_space.shape
        if self._actions is None and actions != (model.actions,):
            raise EvaluationError(
                f"{self.file}: it was trained for actions of {model.actions} values, those of the "
                f"environment are {env.single_action_space}"
            )
        space = env.single_observation_space
        if self._entries is not None or (
            isinstance(space, gymnasium.spaces.Dict) and not set(self._groups) <= set(space.spaces)
        ):
            return  # what is given is known with the first observation
        parts = [space.spaces[name] for name in self._groups] if hasattr(space, "spaces") else [space]
        shapes = [part.shape or () for part in parts]
        given = sum(shape[0] for shape in shapes if len(shape) == 1)
        if len(parts) != len(self._groups) or given != model.size:
            raise EvaluationError(
                f"{self.file}: it was trained on {', '.join(self._groups)} with {model.size} values, the "
                f"observations of the environment are {space}"
            )

    def _tensor(self, part: Any) -> Any:
        return self._torch.as_tensor(part).to(device=self.device, dtype=self._torch.float32)


def _config_of(given: str | None, checkpoint: Path) -> RunnerConfig | None:
    path = find_config(checkpoint) if given is None else Path(given)
    if path is None:
        return None
    try:
        return read_config(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EvaluationError(f"config: {path} cannot be read: {reason}") from None


def _shapes_of(env: SimEnv) -> dict[str, tuple[int, ...]]:
    space = env.single_observation_space
    parts = space.spaces.items() if isinstance(space, gymnasium.spaces.Dict) else ()
    return {str(name): part.shape for name, part in parts if part.shape is not None}
