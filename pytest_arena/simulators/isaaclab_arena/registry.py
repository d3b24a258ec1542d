"""Arena's registries of environments and policies, which only a running app can import."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from typing import Any

from pytest_arena.errors import EvaluationError, did_you_mean

MODULE = "isaaclab_arena.assets.registries"
_OLD_MODULE = "isaaclab_arena.assets.asset_registry"


def registries() -> Any:
    """Return the module of the registries, whatever this version calls it."""
    return importlib.import_module(MODULE if find_spec(MODULE) is not None else _OLD_MODULE)


def policy_class(name: str) -> type[Any]:
    """Return the class of the policy that Arena has under *name*."""
    registry = registries().PolicyRegistry()
    known = list(registry.get_all_keys())
    if name not in known:
        raise EvaluationError(
            f"policy.type: this IsaacLab-Arena has no policy {name!r}{did_you_mean(name, known)}; "
            f"it has {', '.join(sorted(known))}, or name a class as module:Class"
        )
    found: type[Any] = registry.get_policy(name)
    return found


def policy_configuration(cls: type[Any]) -> Any:
    """Return the class that configures the policy class *cls*: its own, or the registered one; else None."""
    own = getattr(cls, "config_class", None)
    registry = getattr(sys.modules.get(MODULE), "PolicyRegistry", None)
    if own is not None or registry is None or not hasattr(registry, "get_policy_cfg_type"):
        return own
    try:
        return registry().get_policy_cfg_type(cls)
    except (AssertionError, KeyError):  # not registered
        return None


def environment_types(name: str) -> tuple[Any, Any] | None:
    """Return the factory and the configuration class of the environment *name*; None: not by configuration.

    An Arena that has no typed configurations, and an environment of one's own without, are built from
    command-line arguments.
    """
    registry = getattr(registries(), "EnvironmentRegistry", None)
    if registry is None or not hasattr(registry, "get_factory_type_for_cfg"):
        return None
    importlib.import_module("isaaclab_arena_environments.cli").ensure_environments_registered()
    known = list(registry().get_all_keys())
    if name not in known:
        raise EvaluationError(
            f"environment.id: IsaacLab-Arena has no environment {name!r}{did_you_mean(name, known)}; it has "
            f"{', '.join(sorted(known))}, or give a graph's .yaml file or module:Class"
        )
    factory = registry().get_component_by_name(name)
    try:
        configuration = registry().get_environment_cfg_type(factory)
    except (AssertionError, KeyError):
        return None
    return factory, configuration
