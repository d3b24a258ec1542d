"""Spaces that a policy was trained in, beside those of the environment that it is to act in."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from pytest_arena.errors import EvaluationError

Space = gymnasium.Space[Any]


def require_same_observations(environment: Space, policy: Space) -> None:
    """Check that *policy*'s observations are the environment's, or entries of them.

    Args:
        environment: The space of one row's observation.
        policy: The space of the observations that the policy was trained on. Images may have their channels
            in another place.

    Raises:
        EvaluationError: They are not; one line that says both.
    """
    if isinstance(policy, spaces.Dict) and isinstance(environment, spaces.Dict):
        missing = [key for key in policy.spaces if key not in environment.spaces]
        wrong = [
            key
            for key, part in policy.spaces.items()
            if key not in missing and not _same_kind(environment.spaces[key], part)
        ]
        if not missing and not wrong:
            return
    elif _same_kind(environment, policy):
        return
    raise EvaluationError(
        f"policy sb3: it was trained on observations of {policy}, those of the environment are {environment}"
    )


def require_same_actions(environment: Space, policy: Space) -> None:
    """Check that *policy*'s actions mean the same in the environment: same kind, shape and limits.

    Args:
        environment: The space of one row's action.
        policy: The space that the policy was trained in.

    Raises:
        EvaluationError: They do not; one line that says both.
    """
    same = _same_kind(environment, policy)
    if same and isinstance(environment, spaces.Box) and isinstance(policy, spaces.Box):
        limits = zip((environment.low, environment.high), (policy.low, policy.high), strict=True)
        same = environment.shape == policy.shape and all(np.allclose(a, b) for a, b in limits)
    if not same:
        raise EvaluationError(
            f"policy sb3: it was trained for actions of {policy}, those of the environment are {environment}"
        )


def _same_kind(environment: Space, policy: Space) -> bool:
    if isinstance(policy, spaces.Box) and isinstance(environment, spaces.Box):
        shape = environment.shape
        return shape == policy.shape or (len(shape) == 3 and (shape[2], *shape[:2]) == policy.shape)
    if isinstance(policy, spaces.Discrete) and isinstance(environment, spaces.Discrete):
        return bool(environment.n == policy.n and environment.start == policy.start)
    if isinstance(policy, spaces.MultiDiscrete) and isinstance(environment, spaces.MultiDiscrete):
        return np.array_equal(environment.nvec, policy.nvec)
    if isinstance(policy, spaces.MultiBinary) and isinstance(environment, spaces.MultiBinary):
        return environment.shape == policy.shape
    return False
