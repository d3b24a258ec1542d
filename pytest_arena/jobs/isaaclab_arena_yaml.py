"""IsaacLab-Arena's typed format: ``runs``, a mapping or a list, and ``shared`` merged under every run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pytest_arena.errors import shown
from pytest_arena.jobs.isaaclab_arena_keys import (
    check_limit,
    check_mappings,
    check_unique,
    native_keys,
    recorded_episodes,
)
from pytest_arena.jobs.messages import KeyPath
from pytest_arena.jobs.raw_job import RawJob, Section, locator, merge

_TOP = ("shared", "runs")
_MAPPINGS = ("environment", "policy", "environment_builder", "rollout_limit", "variations")
_RECORDED = "recorded_variation_samples_paths"
_KEYS = (*_MAPPINGS, "num_rebuilds", _RECORDED)
_LIMITS = ("num_steps", "num_episodes")
# Arena's rule for names in the mapping form, narrowed to names that a folder can have.
_RUN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")

_PLACES: dict[KeyPath, KeyPath] = {
    ("name",): (),
    ("simulator",): (),
    ("environment", "id"): ("environment", "type"),
    ("environment", "num_envs"): ("environment_builder", "num_envs"),
    ("environment", "seed"): ("environment_builder", "seed"),
    ("environment", "device"): ("environment_builder", "device"),
    ("environment", "variations"): ("variations",),
    ("environment", "options"): ("environment",),
    ("environment", "options", "args"): ("environment",),
    ("environment", "options", "builder"): ("environment_builder",),
    ("environment", "options", "recorded_variations"): (_RECORDED,),
    ("record", "trajectory"): ("environment_builder", "record_trajectories"),
    ("rollout",): ("rollout_limit",),
    ("rollout", "episodes"): ("rollout_limit", "num_episodes"),
    ("rollout", "steps"): ("rollout_limit", "num_steps"),
    ("rollout", "rebuilds"): ("num_rebuilds",),
    ("language_instruction",): ("environment_builder", "language_instruction"),
}
_LIST_PLACES: dict[KeyPath, KeyPath] = {**_PLACES, ("name",): ("name",)}


def read_arena_yaml(top: Section) -> list[RawJob]:
    """Return the jobs of a typed file; what is wrong with its shape is noted at *top*."""
    data = top.document.data
    top.refuse_unknown(data, _TOP)
    shared = _run(top.below("shared"), data.get("shared"))
    if shared is None:
        return []
    written = data["runs"]
    section = top.below("runs")
    if not written or not isinstance(written, dict | list):
        section.wrong(f"expected at least one run, got {shown(written)}")
        return []
    runs = _listed(section, written) if isinstance(written, list) else _named(section, written)
    places = _LIST_PLACES if isinstance(written, list) else _PLACES
    raw = []
    for place, name, run in runs:
        settings = merge(shared, run)
        if _is_sound(place, settings) and _is_replayable(place, settings):
            locate = locator(top.document, (place.key, ("shared",)), places)
            raw.append(RawJob(name, _translated(settings), locate))
    return raw


def _named(runs: Section, written: dict[str, Any]) -> list[tuple[Section, str, dict[str, Any]]]:
    found = []
    for name, item in written.items():
        section = runs.below(name)
        if not _RUN_NAME.fullmatch(name):
            expected = "a letter, then up to 99 letters, digits, '_' and '-'"
            section.wrong(f"expected a run's name to be {expected}, got {shown(name)}")
        elif (run := _run(section, item)) is not None:
            found.append((section, name, run))
    return found


def _listed(runs: Section, written: list[Any]) -> list[tuple[Section, Any, dict[str, Any]]]:
    found = []
    for index, item in enumerate(written):
        section = runs.below(index)
        if not isinstance(item, dict):
            section.wrong(f"expected a mapping, got {shown(item)}")
        elif item.get("name") is None:
            section.below("name").wrong("required, but missing")
        else:
            run = _run(section, {key: value for key, value in item.items() if key != "name"})
            if run is not None:
                found.append((section, item["name"], run))
    check_unique([(section.below("name"), name) for section, name, _ in found])
    return found


def _run(section: Section, written: Any) -> dict[str, Any] | None:
    """Return the keys of a run, or of what the runs share; None after noting what is wrong with them."""
    if written is None:  # a run may leave everything to what is shared
        return {}
    if not isinstance(written, dict):
        section.wrong(f"expected a mapping, got {shown(written)}")
        return None
    before = len(section.problems)
    section.refuse_unknown(written, _KEYS)
    check_mappings(section, {key: value for key, value in written.items() if value is not None}, _MAPPINGS)
    limit = written.get("rollout_limit")
    section.below("rollout_limit").refuse_unknown(limit if isinstance(limit, dict) else (), _LIMITS)
    return written if len(section.problems) == before else None


def _is_sound(section: Section, run: dict[str, Any]) -> bool:
    before = len(section.problems)
    if "id" in run.get("environment", {}):
        section.below("environment", "id").wrong("unknown key; the environment's name stands under type")
    check_limit(section.below("rollout_limit"), run.get("rollout_limit", {}))
    return len(section.problems) == before


def _is_replayable(section: Section, run: dict[str, Any]) -> bool:
    """Give a *run* that replays recorded variations the rebuilds and episodes of its files, as Arena does."""
    paths = run.get(_RECORDED)
    if paths is None:
        return True
    place = section.below(_RECORDED)
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
        place.wrong(f"expected a list of files of recorded episodes, got {shown(paths)}")
    elif run.get("rollout_limit"):
        section.below("rollout_limit").wrong("expected none: the recorded episodes are run, each once")
    else:
        beside = section.document.file.parent
        found = [beside / path if (beside / path).exists() else Path(path) for path in paths]
        try:
            run["rollout_limit"] = {"num_episodes": sum(map(recorded_episodes, found))}
            run["num_rebuilds"] = len(paths)
            return True
        except (OSError, ValueError) as error:
            place.wrong(f"expected files of recorded episodes: {error}")
    return False


def _translated(run: dict[str, Any]) -> dict[str, Any]:
    environment = dict(run.get("environment", {}))
    if "type" in environment:
        environment["id"] = environment.pop("type")
    return native_keys(
        environment=environment,
        builder=run.get("environment_builder", {}),
        policy=run.get("policy", {}),
        limit=run.get("rollout_limit", {}),
        run={key: value for key, value in run.items() if key not in _MAPPINGS or key == "variations"},
    )
