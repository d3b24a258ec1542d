"""What both formats of IsaacLab-Arena have in common: the same evaluation becomes the same job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_arena.errors import shown
from pytest_arena.jobs.raw_job import Section

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

    Args:
        environment: Arena's environment and its arguments; its name stands under ``id``.
        builder: The fields of Arena's environment builder.
        policy: The policy's settings; its type stands under ``type``.
        limit: ``num_steps`` or ``num_episodes``; empty: as many steps as the policy has recorded.
        run: The run as written, of which the keys are read that both formats share: variations, rebuilds,
            instruction.

    Returns:
        The native keys that have a value, as plain data that is not yet validated.
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
    record = None
    if isinstance(builder.get("record_trajectories"), bool):
        record = {"trajectory": builder.pop("record_trajectories")}
    if recorded := run.get("recorded_variation_samples_paths"):
        options["recorded_variations"] = recorded
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
        "record": record,
        "language_instruction": run.get("language_instruction", instruction),
    }
    return _given(keys)


def recorded_episodes(path: Path) -> int:
    """Return how many episodes the file *path* of Arena's records holds, a line of JSON each.

    Raises OSError, or ValueError, ``path: line N: …``, for what is no such file.
    """
    count = 0
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                whole = isinstance(json.loads(line), dict)
            except ValueError:
                whole = False
            if not whole:
                raise ValueError(f"{path}: line {number}: expected the record of an episode, as JSON")
            count += 1
    if not count:
        raise ValueError(f"{path}: there are no episodes in it")
    return count


def check_limit(section: Section, limit: Mapping[str, Any]) -> None:
    """Note a problem at *section* if *limit* has both limits."""
    if len(limit) > 1:
        section.wrong("expected at most one of num_steps and num_episodes, got both")


def check_mappings(section: Section, data: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    """Note a problem for each of *keys* that is there and is not a mapping.

    Args:
        section: The place of *data* in the file.
        data: What is written there.
        keys: Keys of *data* whose values must be mappings; they may be missing.
    """
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
