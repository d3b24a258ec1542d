"""IsaacLab-Arena's policy classes, unchanged: ``get_action(env, observation)`` behind our seam."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from pytest_arena.policies.base import Policy
from pytest_arena.simulators.array_types import Action, IndexArray, Observation
from pytest_arena.simulators.base import SimEnv
from pytest_arena.simulators.devices import own_device
from pytest_arena.simulators.isaaclab_arena.arguments import parser_errors, tokens, typed
from pytest_arena.simulators.isaaclab_arena.registry import policy_configuration

DEVICES = ("device", "policy_device")
"""Settings that say where a policy computes: with ``-n``, the first GPU is the worker's own."""


def is_arena_style(policy: Any) -> bool:
    """Whether *policy*, a class or an object, speaks Arena's interface and not ours."""
    return callable(getattr(policy, "get_action", None)) and not callable(getattr(policy, "act", None))


def check_arena_settings(cls: type[Any], settings: Mapping[str, Any]) -> None:
    """Raise TypeError or ValueError where *settings* cannot configure *cls*; the policy is not made."""
    configuration = policy_configuration(cls)
    if configuration is not None:
        _configured(configuration, settings)
    elif callable(getattr(cls, "from_args", None)):
        _parsed(cls, settings)
    elif not callable(getattr(cls, "from_dict", None)):
        inspect.signature(cls).bind(**settings)


def _build(cls: type[Any], settings: Mapping[str, Any], env: SimEnv) -> Any:
    """Make the policy in the way that its generation of Arena has for it."""
    own = {key: own_device(settings[key]) for key in DEVICES if isinstance(settings.get(key), str)}
    settings = {**settings, **own}
    configuration, from_dict = policy_configuration(cls), getattr(cls, "from_dict", None)
    if configuration is not None:
        if is_dataclass(configuration) and "num_envs" in {field.name for field in fields(configuration)}:
            settings = {**settings, "num_envs": env.num_envs}
        if callable(from_dict) and getattr(cls, "config_class", None) is not None:
            return from_dict(dict(settings))
        return cls(_configured(configuration, settings))
    if callable(getattr(cls, "from_args", None)):
        arguments = _parsed(cls, settings)
        arguments.num_envs = env.num_envs
        arguments.device = getattr(arguments, "device", env.device)
        return cls.from_args(arguments)
    return cls(**settings) if from_dict is None else from_dict(dict(settings))


def _configured(configuration: Any, settings: Mapping[str, Any]) -> Any:
    if isinstance(configuration, type) and is_dataclass(configuration):
        return typed(configuration, settings)
    return configuration(**settings)


def _parsed(cls: type[Any], settings: Mapping[str, Any]) -> argparse.Namespace:
    """Parse *settings* with the arguments that the class declares, as Arena's runner does."""
    parser = argparse.ArgumentParser(prog=cls.__name__, allow_abbrev=False)
    cls.add_args_to_parser(parser)
    with parser_errors():
        return parser.parse_args(tokens(settings))


class ArenaPolicy(Policy):
    """Adapts an object of an Arena policy class.

    Arena's `reset` takes no seeds, so a stochastic policy cannot draw a row's noise from its episode's
    seed: records of such a policy do not claim that single episodes can be reproduced.
    """

    reproducible = False

    def __init__(self, policy: Any, env: SimEnv) -> None:
        self.wrapped = policy
        self._env, self._fresh = env, True

    @classmethod
    def make(cls, kind: type[Any], settings: Mapping[str, Any], env: SimEnv) -> ArenaPolicy:
        """Adapt a policy of this *kind*, made of its *settings*.

        Args:
            kind: A policy class of Arena, as any of its releases has them.
            settings: What it is configured with: the job's ``policy.settings``.
            env: The environment that the policy acts in.

        Returns:
            The policy.

        Raises:
            TypeError: *kind* has no setting of such a name, or lacks one that it needs.
            ValueError: A setting has a wrong value, or the parser of *kind* does not take it.
            Exception: What the class raises.
        """
        return cls(_build(kind, settings, env), env)

    def act(self, observation: Observation) -> Action:
        """Ask the policy with the simulator's own environment object, as Arena's runner does."""
        torch = sys.modules.get("torch")
        with contextlib.nullcontext() if torch is None else torch.no_grad():
            return self.wrapped.get_action(self._env.unwrapped, observation)

    def begin(self, env: SimEnv) -> None:
        """Act in *env* from now on."""
        self._env, self._fresh = env, True

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> None:
        """Reset these rows, all of them at the start of a rollout, as Arena's runner does.

        Arena's classes expect a torch tensor of indices, where the environment is.
        """
        torch, fresh, self._fresh = sys.modules.get("torch"), self._fresh, False
        if not hasattr(self.wrapped, "reset"):  # it remembers nothing
            return
        if fresh or env_ids is None:
            self.wrapped.reset()
        else:
            self.wrapped.reset(
                env_ids if torch is None else torch.as_tensor(env_ids, device=self._env.device)
            )

    def set_task_description(self, text: str | None) -> None:
        """Pass the instruction on, under whichever name the class has for it."""
        for name in ("set_task_description", "set_language_instruction"):
            if (method := getattr(self.wrapped, name, None)) is not None:
                method(text)
                return

    def length(self) -> int | None:
        """Return the number of recorded steps of a replay."""
        for name in ("has_length", "is_recording"):
            if callable(asked := getattr(self.wrapped, name, None)):
                return int(self.wrapped.length()) if asked() else None
        return len(self.wrapped) if hasattr(self.wrapped, "__len__") else None

    @property
    def identity(self) -> Mapping[str, Any]:
        """The class that acts."""
        return {"class": f"{type(self.wrapped).__module__}:{type(self.wrapped).__qualname__}"}

    def close(self) -> None:
        """Close the policy where it can be closed."""
        getattr(self.wrapped, "close", lambda: None)()
