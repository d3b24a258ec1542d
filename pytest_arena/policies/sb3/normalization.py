"""Statistics of Stable-Baselines3's `VecNormalize`: observations as its policies were trained on them."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pytest_arena.policies.sb3.plain_pickle import Unread, read_plain
from pytest_arena.policies.sb3.saved import TRUST
from pytest_arena.records.json_files import open_regular

_NAME = "stable_baselines3.common.vec_env.vec_normalize.VecNormalize"


@dataclass(frozen=True, slots=True)
class Normalization:
    """Gives each observation the mean 0 and the variance 1 that it had in training, and clips it."""

    statistics: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    """Key of a dict observation -> (mean, variance) of it; any other observation has the key ''."""
    clip: float
    """The largest absolute value of what is normalized."""
    epsilon: float
    """Added to each variance."""

    def __call__(self, observation: Any) -> Any:
        """Return *observation*, a tensor (K, …) or a dict of such, with float32 where it was normalized."""
        if isinstance(observation, Mapping):
            return {key: self._normalized(key, part) for key, part in observation.items()}
        return self._normalized("", observation)

    def _normalized(self, key: str, part: Any) -> Any:
        if key not in self.statistics:
            return part
        torch: Any = importlib.import_module("torch")
        # In double precision and in this order, as VecNormalize does it with numpy: equal to the bit.
        mean, variance = (torch.as_tensor(values, device=part.device) for values in self.statistics[key])
        scaled = (part.double() - mean) / torch.sqrt(variance + self.epsilon)
        return scaled.clamp(-self.clip, self.clip).float()


def read_normalization(path: Path, space: gymnasium.Space[Any], trust: bool) -> Normalization:
    """Read the pickle that ``VecNormalize.save`` wrote.

    Args:
        path: The file.
        space: The observation space of the policy that was trained with it.
        trust: Whether what is no plain value may be unpickled, which runs code of the file's choice.

    Returns:
        Its statistics of observations; empty where it did not normalize them.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no such file, is one for other observations, or needs unpickling that is not
            allowed; one line without the path.
    """
    with open_regular(path) as file:
        data = file.read()
    found = read_plain(data)
    if not isinstance(found, Unread) or found.name != _NAME or not isinstance(found.state, dict):
        if not trust:
            kind = found.name if isinstance(found, Unread) else type(found).__name__
            raise ValueError(
                f"expected a pickled VecNormalize, got {kind}; if it is one of your own, {TRUST}"
            )
        state = _unpickled(data)
    else:
        state = found.state
    try:
        statistics = _statistics(state) if state["norm_obs"] else {}
        made = Normalization(statistics, float(state["clip_obs"]), float(state["epsilon"]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"expected the statistics of a VecNormalize: {type(error).__name__}: {error}"
        ) from None
    _require_fit(made, space)
    return made


def _unpickled(data: bytes) -> Mapping[str, Any]:
    try:
        state: dict[str, Any] = vars(pickle.loads(data))
    except Exception as error:  # whatever the file's code raises
        raise ValueError(f"it cannot be unpickled: {type(error).__name__}: {error}") from error
    return state


def _statistics(state: Mapping[str, Any]) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    held = state["obs_rms"]
    every = held if isinstance(held, dict) else {"": held}
    keys = state.get("norm_obs_keys") or list(every)
    return {str(key): _moments(every[key]) for key in (keys if isinstance(held, dict) else [""])}


def _moments(running: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    state = running.state if isinstance(running, Unread) else vars(running)
    mean, variance = (np.array(state[name], np.float64) for name in ("mean", "var"))
    if not (np.isfinite(mean).all() and np.isfinite(variance).all()):
        raise ValueError("mean and variance are not finite")
    return mean, variance


def _require_fit(made: Normalization, space: gymnasium.Space[Any]) -> None:
    for key, (mean, _) in made.statistics.items():
        part = space
        if isinstance(space, gymnasium.spaces.Dict):
            if key not in space.spaces:
                raise ValueError(
                    f"it is for observations with {key!r}, the policy has {', '.join(space.spaces)}"
                )
            part = space.spaces[key]
        elif key:
            raise ValueError(f"it is for dict observations with {key!r}, the policy has {space}")
        images = mean.ndim == 3  # the policy may have their channels in another place
        if mean.shape != part.shape and not images:
            of = f" of {key}" if key else ""
            raise ValueError(
                f"it is for observations{of} of the shape {mean.shape}, the policy has {part.shape}"
            )
