"""The configuration of a training run, ``params/agent.yaml``, as Isaac Lab and mjlab write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pytest_arena.records.json_files import open_regular

NAME = Path("params", "agent.yaml")
_LARGEST = 2**24


@dataclass(frozen=True, slots=True)
class RunnerConfig:
    """What acting needs of it."""

    path: Path
    groups: Mapping[str, tuple[str, ...]]
    """Set of observations, such as ``actor`` -> the groups of the environment's observation in it."""
    sections: Mapping[str, Mapping[str, Any]]
    """``actor``, ``student``, or ``policy`` of versions before 4 -> the arguments of the model."""
    clip_actions: float | None
    """The largest absolute value of an action, which the wrapper of the environment sees to."""


class _Loader(yaml.SafeLoader):
    """Reads tuples, which these files have, and leaves Python's other objects out."""


def _tuple(loader: _Loader, node: yaml.Node) -> Any:
    return tuple(loader.construct_sequence(node)) if isinstance(node, yaml.SequenceNode) else None


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _tuple)
_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: None)


def find_config(checkpoint: Path) -> Path | None:
    """Return the configuration of the run that *checkpoint*, or an export in a folder below it, is of."""
    folders = [checkpoint.parent, checkpoint.parent.parent]
    places = [folder / name for folder in folders for name in (NAME, NAME.name)]
    return next((place for place in places if place.is_file()), None)


def read_config(path: Path) -> RunnerConfig:
    """Read a run's configuration.

    Raises OSError, and ValueError, one line without the path, where it is none.
    """
    with open_regular(path) as file:
        text = file.read(_LARGEST)
    try:
        found = yaml.load(text.decode(), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ValueError(f"expected YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise ValueError("expected a runner's configuration, it is no mapping")
    sections = {
        name: found[name] for name in ("actor", "student", "policy") if isinstance(found.get(name), dict)
    }
    if not sections:
        raise ValueError("expected a runner's configuration with actor, student or policy in it")
    groups, clip = found.get("obs_groups"), found.get("clip_actions")
    return RunnerConfig(
        path,
        {str(key): tuple(value) for key, value in groups.items()} if isinstance(groups, dict) else {},
        sections,
        float(clip) if isinstance(clip, (int, float)) else None,
    )
