"""What both formats of IsaacLab-Arena have in common: the same evaluation becomes the same job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_arena.jobs.raw import Section
from pytest_arena.jobs.words import shown

SIMULATOR = "isaaclab_arena"
DEFAULT_SEED = 42


def native_keys(
    *,
    environment: Mapping[str, Any],
    builder: Mapping[str, Any],
    policy: Mapping[str, Any],
    limit: Mapping[str, Any],
    run: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a job in native keys.

    *environment* is Arena's environment, its name under ``id``; *builder* the fields of Arena's environment
    builder; *limit* may hold ``num_steps`` and ``num_episodes``; *run* the keys that both formats share.
    """
    builder = dict(builder)
    options: dict[str, Any] = {"args": {key: value for key, value in environment.items() if key != "id"}}
    simulated = {
        "id": environment.get("id"),
        "num_envs": builder.pop("num_envs", 1),
        "seed": builder.pop("seed", DEFAULT_SEED),
        "device": builder.pop("device", None),
        "variations": run.get("variations"),
        "options": options,
    }
    instruction = builder.pop("language_instruction", None)
    if builder:
        options["builder"] = builder
    rollout = {
        # Neither limit means as many steps as the policy has recorded.
        "steps": limit.get("num_steps") if limit else "policy",
        "episodes": limit.get("num_episodes"),
        "rebuilds": run.get("num_rebuilds"),
    }
    keys = {
        "simulator": SIMULATOR,
        "environment": _given(simulated),
        "policy": dict(policy),
        "rollout": _given(rollout),
        "language_instruction": run.get("language_instruction", instruction),
    }
    return _given(keys)


def check_limit(section: Section, limit: Mapping[str, Any]) -> None:
    """Note a problem at *section* if *limit* has both limits."""
    if len(limit) > 1:
        section.wrong("expected at most one of num_steps and num_episodes, got both")


def check_mappings(section: Section, data: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    """Note a problem for each of *keys* that is there and is not a mapping."""
    for key in keys:
        if key in data and not isinstance(data[key], dict):
            section.below(key).wrong(f"expected a mapping, got {shown(data[key])}")


def check_unique(names: list[tuple[Section, Any]]) -> None:
    """Note a problem for each name that an earlier job of the file has."""
    seen: set[str] = set()
    for section, name in names:
        if isinstance(name, str) and name in seen:
            section.wrong(f"expected a unique name, {shown(name)} is already used")
        elif isinstance(name, str):
            seen.add(name)


def _given(keys: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if value is not None}
