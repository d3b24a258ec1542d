"""A user's class with nothing but ``act``: the rest of the seam is filled in."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_arena.errors import did_you_mean
from pytest_arena.policies.base import Policy
from pytest_arena.simulators.base import Action, IndexArray, Observation, SimEnv


def check_signature(cls: type[Any], settings: Mapping[str, Any]) -> tuple[str | None, str] | None:
    """Return what is wrong with *settings* as arguments of *cls*: (key, expectation), or None."""
    parameters = inspect.signature(cls).parameters
    named = {
        n: p for n, p in parameters.items() if n != "env" and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    }
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for key in settings:
            if key not in named:
                return key, f"unknown setting of {cls.__name__}{did_you_mean(key, named)}"
    for name, parameter in named.items():
        if parameter.default is parameter.empty and name not in settings:
            return None, f"expected the setting {name!r} of {cls.__name__}"
    return None


class CustomPolicy(Policy):
    """Wraps an object that has ``act(observation)`` and perhaps `reset`, `set_task_description`, `close`.

    An attribute ``reproducible = False`` on the object is believed; without `reset` it can only be stateless.
    """

    def __init__(self, cls: type[Any], settings: Mapping[str, Any], env: SimEnv) -> None:
        wants_env = "env" in inspect.signature(cls).parameters
        self._policy = cls(**settings, **({"env": env} if wants_env else {}))
        self.reproducible = bool(getattr(self._policy, "reproducible", True))
        self.deterministic = bool(getattr(self._policy, "deterministic", False))
        self._reset = getattr(self._policy, "reset", None)
        self._reset_takes = set(inspect.signature(self._reset).parameters) if self._reset else set()

    def act(self, observation: Observation) -> Action:
        """Return the object's actions."""
        return self._policy.act(observation)

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> None:
        """Pass on what the object's `reset` takes of ``env_ids`` and ``seeds``."""
        if self._reset is not None:
            given = {"env_ids": env_ids, "seeds": seeds}
            self._reset(**{key: value for key, value in given.items() if key in self._reset_takes})

    def set_task_description(self, text: str | None) -> None:
        """Pass the instruction on, where the object takes one."""
        getattr(self._policy, "set_task_description", lambda text: None)(text)

    @property
    def identity(self) -> Mapping[str, Any]:
        """The class that acts, and what it says of itself."""
        own = dict(getattr(self._policy, "identity", {}))
        return {"class": f"{type(self._policy).__module__}:{type(self._policy).__qualname__}", **own}

    def close(self) -> None:
        """Close the object where it can be closed."""
        getattr(self._policy, "close", lambda: None)()
