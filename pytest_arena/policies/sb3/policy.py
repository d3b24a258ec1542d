"""The policy ``sb3``: one of Stable-Baselines3 or sb3-contrib, with a memory and a noise for each row."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from pydantic import Field

from pytest_arena.errors import EvaluationError, MissingDependencyError, did_you_mean
from pytest_arena.policies.file_kinds import other_kind
from pytest_arena.policies.fingerprints import sha256_of
from pytest_arena.policies.model_policy import FileSettings, ModelPolicy
from pytest_arena.policies.row_generators import RowGenerators
from pytest_arena.policies.row_states import FirstState, RowStates
from pytest_arena.policies.sb3.normalization import Normalization, read_normalization
from pytest_arena.policies.sb3.saved import Saved, make_policy, read_saved
from pytest_arena.policies.sb3.spaces import require_same_actions, require_same_observations
from pytest_arena.records.schema import Episode
from pytest_arena.simulators.array_types import IndexArray, Observation
from pytest_arena.simulators.base import SimEnv
from pytest_arena.simulators.devices import torch_device


class Sb3Settings(FileSettings):
    """Settings of the policy ``sb3``."""

    checkpoint: str = Field(min_length=1, description="the zip file that an algorithm's save wrote")
    normalize: str | None = Field(default=None, description="the pickle that VecNormalize.save wrote")
    deterministic: bool = Field(
        default=True, description="false: sample each action, with the generator of the row's episode"
    )
    trust: bool = Field(
        default=False,
        description="unpickle what is no plain value, such as a feature extractor of one's own: it runs code",
    )


class Sb3Policy(ModelPolicy):
    """A policy that an algorithm of Stable-Baselines3 or sb3-contrib trained."""

    Settings = Sb3Settings
    file_settings = ("checkpoint", "normalize")

    def __init__(self, settings: Sb3Settings, env: SimEnv) -> None:
        """Load the zip file and the statistics."""
        if importlib.util.find_spec("stable_baselines3") is None:
            raise MissingDependencyError(
                "the policy sb3 needs stable-baselines3: pip install 'pytest-arena[sb3]'"
            )
        self._torch: Any = importlib.import_module("torch")
        super().__init__(settings, env)
        torch_device(self.device, "policy.device")
        try:
            self._saved = read_saved(self.file, settings.trust, _own_spaces(settings, env))
            self._policy = make_policy(self._saved, self.device)
        except (OSError, ValueError) as error:
            raise EvaluationError(f"{self.unreadable(error)}{other_kind(self.file, 'sb3')}") from None
        if settings.observation is None:
            require_same_observations(env.single_observation_space, self._saved.observation_space)
        if settings.action is None:
            require_same_actions(env.single_action_space, self._saved.action_space)
        self._normalization, self._statistics = _normalization(settings, self._saved)
        self._sampled = not settings.deterministic
        self._states = _states_of(self._policy, env.num_envs)
        self._chance = Chance(self._policy, self._saved, env.num_envs, self.device) if self._sampled else None
        self.reproducible = self.batch == "single"
        self.deterministic = self.reproducible and settings.deterministic

    def inputs(self, observation: Observation) -> Any:
        """Return what the policy takes: a tensor (N, …) or a dict of such, normalized."""
        space = self._saved.observation_space
        if isinstance(space, gymnasium.spaces.Dict):
            missing = [key for key in space.spaces if key not in observation]
            if missing:
                lacks, has = ", ".join(missing), ", ".join(observation)
                raise EvaluationError(
                    f"policy sb3: it needs the inputs {lacks}; policy.observation has {has}"
                )
            other = [key for key in observation if key not in space.spaces]
            if other and self.observed is not None:
                has = ", ".join(space.spaces)
                raise EvaluationError(
                    f"policy.observation.{other[0]}: the policy has no such input"
                    f"{did_you_mean(other[0], space.spaces)}; it has {has}"
                )
            given = {key: self._tensor(observation[key]) for key in space.spaces}
        else:
            parts = list(observation.values()) if isinstance(observation, Mapping) else [observation]
            if len(parts) != 1:
                raise EvaluationError(
                    f"policy sb3: it sees one array, {space}; policy.observation has {', '.join(observation)}"
                )
            given = self._tensor(parts[0])
        return _channels_first(given if self._normalization is None else self._normalization(given), space)

    def forget(self, rows: IndexArray, seeds: Sequence[int]) -> None:
        """Begin the memory of *rows* anew, and their noise from their seeds."""
        self._states.forget(rows)
        if self._chance is not None:
            self._chance.seed(rows, seeds)

    def compute(self, rows: IndexArray, inputs: Any) -> Any:
        """Return actions (K, *action shape), a tensor, as ``predict`` of Stable-Baselines3 gives them."""
        chance = self._chance
        with self._torch.no_grad(), nullcontext() if chance is None else chance.turn_of(int(rows[0])):
            if self._states:
                actions = self._with_memory(rows, inputs)
            else:
                actions = self._policy._predict(inputs, deterministic=not self._sampled)
            actions = self._in_space(actions.reshape(len(rows), *(self._saved.action_space.shape or ())))
        return actions if chance is None else chance.explored(rows, actions)

    def review(self, episodes: Sequence[Episode]) -> list[str]:
        """Return a note where the policy was trained on normalized observations and did not get any."""
        if not self._saved.normalized or self._normalization is not None:
            return []
        return [
            f"{self.file} was trained on observations that VecNormalize had normalized, and the job has no "
            "policy.normalize: it saw others"
        ]

    @property
    def identity(self) -> Mapping[str, Any]:
        """The files' paths and hashes, the class of the policy, and how it runs."""
        sb3 = importlib.import_module("stable_baselines3")
        return {
            **super().identity,
            **self._statistics,
            "policy_class": f"{type(self._policy).__module__}.{type(self._policy).__qualname__}",
            "sampled": self._sampled,
            "torch": str(self._torch.__version__),
            "stable_baselines3": str(sb3.__version__),
        }

    def _tensor(self, part: Any) -> Any:
        return self._torch.as_tensor(part).to(self.device)

    def _with_memory(self, rows: IndexArray, inputs: Any) -> Any:
        states = self._states.of(rows)
        memory = tuple(states[name].contiguous() for name in ("hidden", "cell"))
        starts = self._torch.zeros(len(rows), device=self.device)  # rows that begin have zeros already
        actions, (hidden, cell) = self._policy._predict(
            inputs, lstm_states=memory, episode_starts=starts, deterministic=not self._sampled
        )
        self._states.keep(rows, {"hidden": hidden, "cell": cell})
        return actions

    def _in_space(self, actions: Any) -> Any:
        """Return *actions* in the units and within the limits of the space that the policy was trained in."""
        space = self._saved.action_space
        if not isinstance(space, gymnasium.spaces.Box):
            return actions
        low, high = (self._torch.as_tensor(limit, device=actions.device) for limit in (space.low, space.high))
        if self._policy.squash_output:
            return low + (0.5 * (actions + 1.0) * (high - low))
        return actions.clamp(low, high)


class Chance:
    """What sampled actions draw from: for each row the generators that its episode's seed has begun."""

    def __init__(self, policy: Any, saved: Saved, num_envs: int, device: str) -> None:
        space = saved.action_space
        self._policy = policy
        self._rate = saved.exploration_rate if isinstance(space, gymnasium.spaces.Discrete) else 0.0
        self._choices = int(space.n) if isinstance(space, gymnasium.spaces.Discrete) else 0
        self._generators = RowGenerators(num_envs, device)
        self._numbers = [np.random.default_rng(row) for row in range(num_envs)]
        found = getattr(getattr(policy, "actor", policy), "action_dist", None)
        self._noise = found if hasattr(found, "exploration_mat") else None
        """The distribution whose noise depends on the state; it keeps its numbers for a whole episode."""
        self._matrices: dict[int, tuple[Any, Any]] = {}

    def seed(self, rows: IndexArray, seeds: Sequence[int]) -> None:
        """Begin the numbers of *rows* (K,) anew."""
        self._generators.seed(rows, seeds)
        for row, seed in zip(rows, seeds, strict=True):
            self._numbers[row] = np.random.default_rng(seed)
            if self._noise is not None:
                with self._generators.turn_of(row):
                    self._policy.reset_noise(1)
                self._matrices[int(row)] = (self._noise.exploration_mat, self._noise.exploration_matrices)

    def turn_of(self, row: int) -> Any:
        """Return the context in which *row* draws."""
        if row in self._matrices and self._noise is not None:
            self._noise.exploration_mat, self._noise.exploration_matrices = self._matrices[row]
        return self._generators.turn_of(row)

    def explored(self, rows: IndexArray, actions: Any) -> Any:
        """Return *actions* (K,) of *rows*, with any action of the space in a share of them, as DQN has it."""
        if not self._rate:
            return actions
        for place, row in enumerate(rows):
            numbers = self._numbers[row]
            if numbers.random() < self._rate:
                actions[place] = int(numbers.integers(self._choices))
        return actions


def _own_spaces(settings: Sb3Settings, env: SimEnv) -> dict[str, gymnasium.Space[Any]]:
    """Return the spaces of *env* that the policy must have been trained in, by the names of the file."""
    own = {} if settings.observation is not None else {"observation_space": env.single_observation_space}
    return own if settings.action is not None else {**own, "action_space": env.single_action_space}


def _normalization(settings: Sb3Settings, saved: Saved) -> tuple[Normalization | None, dict[str, str]]:
    """Return the statistics of the job, if it has any, and what tells them from others."""
    if settings.normalize is None:
        return None, {}
    path = Path(settings.normalize)
    try:
        read = read_normalization(path, saved.observation_space, settings.trust)
        return read, {"normalize": str(path), "normalize_sha256": sha256_of(path)}
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EvaluationError(
            f"normalize: {path} cannot be read: {reason}{other_kind(path, 'pickle')}"
        ) from None


def _states_of(policy: Any, num_envs: int) -> RowStates:
    """Return the memory of a recurrent policy; an empty one of any other."""
    if "action_masks" in inspect.signature(policy._predict).parameters:
        raise EvaluationError(
            "policy sb3: a policy with action masks has to ask the environment which actions are valid: "
            "write a class of your own around it"
        )
    if not hasattr(policy, "lstm_hidden_state_shape"):
        return RowStates({}, num_envs)
    torch: Any = importlib.import_module("torch")
    zeros = torch.zeros(policy.lstm_hidden_state_shape, device=policy.device)
    return RowStates({"hidden": FirstState(zeros, 1), "cell": FirstState(zeros, 1)}, num_envs)


def _channels_first(given: Any, space: gymnasium.Space[Any]) -> Any:
    """Return images (N, H, W, C) as (N, C, H, W) where the policy has them so; all else as it is."""
    if isinstance(given, Mapping) and isinstance(space, gymnasium.spaces.Dict):
        return {key: _channels_first(part, space.spaces[key]) for key, part in given.items()}
    shape = tuple(given.shape[1:])
    if shape == space.shape:
        return given
    if len(shape) == 3 and (shape[2], *shape[:2]) == space.shape:
        return given.permute(0, 3, 1, 2).contiguous()
    raise EvaluationError(f"policy sb3: expected observations of the shape {space.shape}, got {shape}")
