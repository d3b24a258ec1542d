"""IsaacLab-Arena's policy classes, unchanged: ``get_action(env, observation)`` behind our seam."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_arena.policies.base import Policy
from pytest_arena.simulators.base import Action, IndexArray, Observation, SimEnv


def is_arena_style(cls: type[Any]) -> bool:
    """Whether *cls* speaks Arena's interface and not ours."""
    return callable(getattr(cls, "get_action", None)) and not callable(getattr(cls, "act", None))


def check_arena_settings(cls: type[Any], settings: Mapping[str, Any]) -> None:
    """Raise TypeError or ValueError where *settings* cannot configure *cls*; the policy is not made."""
    config_class = getattr(cls, "config_class", None)
    if config_class is not None:
        config_class(**settings)
    elif not hasattr(cls, "from_dict"):
        inspect.signature(cls).bind(**settings)


def _build(cls: type[Any], settings: Mapping[str, Any]) -> Any:
    config_class = getattr(cls, "config_class", None)
    if config_class is not None:
        return cls(config_class(**settings))
    if hasattr(cls, "from_dict"):
        return cls.from_dict(dict(settings))
    return cls(**settings)


class ArenaPolicy(Policy):
    """Adapts an object of an Arena policy class.

    Arena's `reset` takes no seeds, so a stochastic policy cannot draw a row's noise from its episode's
    seed: records of such a policy do not claim that single episodes can be reproduced.
    """

    reproducible = False

    def __init__(self, cls: type[Any], settings: Mapping[str, Any], env: SimEnv) -> None:
        self._policy = _build(cls, settings)
        self._env = env

    def act(self, observation: Observation) -> Action:
        """Ask the policy with the simulator's own environment object, as Arena's runner does."""
        return self._policy.get_action(self._env.unwrapped, observation)

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> None:
        """Reset these rows; Arena's classes expect a torch tensor of indices."""
        torch = sys.modules.get("torch")
        if env_ids is not None and torch is not None:
            self._policy.reset(torch.as_tensor(env_ids))
        else:
            self._policy.reset(env_ids)

    def set_task_description(self, text: str | None) -> None:
        """Pass the instruction on, under whichever name the class has for it."""
        for name in ("set_task_description", "set_language_instruction"):
            if (method := getattr(self._policy, name, None)) is not None:
                method(text)
                return

    def length(self) -> int | None:
        """Return the number of recorded steps of a replay."""
        if getattr(self._policy, "has_length", lambda: False)():
            return int(self._policy.length())
        return len(self._policy) if hasattr(self._policy, "__len__") else None

    @property
    def identity(self) -> Mapping[str, Any]:
        """The class that acts."""
        return {"class": f"{type(self._policy).__module__}:{type(self._policy).__qualname__}"}

    def close(self) -> None:
        """Close the policy where it can be closed."""
        getattr(self._policy, "close", lambda: None)()
