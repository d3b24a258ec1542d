"""A user's class with nothing but ``act``: the rest of the seam is filled in."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any

import numpy as np

from pytest_arena.errors import EvaluationError, described, did_you_mean
from pytest_arena.policies.base import Policy
from pytest_arena.policies.fingerprints import source_identity
from pytest_arena.simulators.array_types import Action, IndexArray, Observation
from pytest_arena.simulators.base import SimEnv


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

    Its episodes are reproducible one by one only where the object says so, by ``reproducible = True``.
    """

    def __init__(self, policy: Any) -> None:
        """Wrap *policy*; `EvaluationError` where its methods could not be called."""
        if (wrong := check_methods(policy)) is not None:
            raise EvaluationError(wrong)
        self.wrapped = policy
        self.reproducible = getattr(policy, "reproducible", False) is True
        self.deterministic = bool(getattr(policy, "deterministic", False))
        self._reset = _method(policy, "reset")
        self._placed, self._named = _taken(_signature(policy, "reset"))
        self._rows_to_name = 0
        """Rows of the environment, until a rollout's first `reset` has named them all."""

    @classmethod
    def make(cls, kind: type[Any], settings: Mapping[str, Any], env: SimEnv) -> CustomPolicy:
        """Wrap a *kind* made of its *settings*, and of *env* where it has an argument of this name.

        Args:
            kind: The user's class.
            settings: Its arguments by name: the job's ``policy.settings``.
            env: The environment that the policy acts in.

        Returns:
            The policy.

        Raises:
            EvaluationError: Its methods could not be called.
            Exception: What the class raises.
        """
        wants_env = "env" in inspect.signature(kind).parameters
        return cls(kind(**settings, **({"env": env} if wants_env else {})))

    def begin(self, env: SimEnv) -> None:
        """Name all rows in the reset that comes next."""
        self._rows_to_name = env.num_envs

    def act(self, observation: Observation) -> Action:
        """Return the object's actions."""
        return self.wrapped.act(observation)

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> None:
        """Pass on what the object's `reset` takes of ``env_ids`` and ``seeds``.

        The first one of a rollout names all rows: `act` gets all of them, and those without an episode, which
        come last, have nothing that was remembered of them either.
        """
        if env_ids is not None and self._rows_to_name:
            others = np.setdiff1d(np.arange(self._rows_to_name), env_ids)
            env_ids = np.concatenate([env_ids, others])
            seeds = None if seeds is None else [*seeds, *[0] * len(others)]
        self._rows_to_name = 0
        if self._reset is not None:
            given = {"env_ids": env_ids, "seeds": seeds}
            self._reset(*(given[name] for name in self._placed), **{n: given[n] for n in self._named})

    def set_task_description(self, text: str | None) -> None:
        """Pass the instruction on, where the object takes one."""
        if (take := _method(self.wrapped, "set_task_description")) is not None:
            take(text)

    @property
    def identity(self) -> Mapping[str, Any]:
        """The class that acts, and what it says of itself."""
        own = getattr(self.wrapped, "identity", {})
        if not isinstance(own, Mapping):
            kind = type(self.wrapped).__name__
            raise EvaluationError(f"policy {kind}: expected a dict as its identity, got {described(own)}")
        return {"class": policy_name(self), **source_identity(type(self.wrapped)), **own}

    def close(self) -> None:
        """Close the object where it can be closed."""
        if (close := _method(self.wrapped, "close")) is not None:
            close()


def check_methods(policy: Any) -> str | None:
    """Return what is wrong with the methods of *policy*, an object or its class; None: they can be called."""
    kind = policy if isinstance(policy, type) else type(policy)
    if _method(policy, "act") is None:
        return f"expected a policy with act(observation), {kind.__name__} has no method act"
    for name, given in (("act", "observation"), ("set_task_description", "text"), ("close", "")):
        signature = _signature(policy, name)
        try:
            if signature is not None:
                signature.bind(*filter(None, [given]))
        except TypeError:
            return f"policy {kind.__name__}: {name} cannot be called as {name}({given})"
    reset = _signature(policy, "reset")
    for name, parameter in () if reset is None else reset.parameters.items():
        if parameter.default is parameter.empty and name not in _GIVEN and parameter.kind in _SINGLE:
            return (
                f"policy {kind.__name__}: reset is called with env_ids, seeds, either or both, and its "
                f"argument {name!r} is neither{did_you_mean(name, _GIVEN)}"
            )
    return None


def policy_name(policy: Policy) -> str:
    """Return ``module:Class`` of what acts."""
    kind = type(getattr(policy, "wrapped", policy))
    return f"{kind.__module__}:{kind.__qualname__}"


_GIVEN = ("env_ids", "seeds")
_PLACED = inspect.Parameter.POSITIONAL_ONLY
_SINGLE = (_PLACED, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _method(policy: Any, name: str) -> Callable[..., Any] | None:
    method = getattr(policy, name, None)
    return method if callable(method) else None


def _signature(policy: Any, name: str) -> inspect.Signature | None:
    """Return what a method takes beside the object itself; None where nothing is known."""
    method = _method(policy, name)
    if isinstance(policy, type):
        method = inspect.getattr_static(policy, name, None)
        if not isinstance(method, FunctionType):
            return None
    if method is None:
        return None
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):  # written in C
        return None
    own = 1 if isinstance(policy, type) else 0
    return signature.replace(parameters=list(signature.parameters.values())[own:])


def _taken(reset: inspect.Signature | None) -> tuple[list[str], list[str]]:
    """Return which of ``env_ids`` and ``seeds`` a *reset* takes by their place, and which by name."""
    parameters = {} if reset is None else reset.parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        named = [name for name in _GIVEN if name not in parameters or parameters[name].kind is not _PLACED]
    elif inspect.Parameter.VAR_POSITIONAL in kinds and not parameters.keys() & set(_GIVEN):
        return list(_GIVEN), []
    else:
        named = [name for name in _GIVEN if name in parameters and parameters[name].kind is not _PLACED]
    return [name for name in parameters if name in _GIVEN and name not in named], named
