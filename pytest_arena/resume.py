"""Going on with an interrupted run: only what it lacks is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena.collection import LABEL, groups_of, job_of
from pytest_arena.errors import first_few
from pytest_arena.options import asked_by, settings
from pytest_arena.policies.registry import policy_files
from pytest_arena.records.directory import RunDirectory

if TYPE_CHECKING:
    from pytest_arena.jobs.model import Job


def differences(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    """Return a line for each job whose configuration is not the one that the run was begun with."""
    path = settings(config).resume
    if path is None:
        return []
    asked = f"{asked_by(config, 'arena_resume')} {path}"
    manifest, hashes = RunDirectory(path).manifest(), dict[Path, str]()
    begun = manifest.get("jobs", {})
    problems = _other_groups(asked, manifest, groups_of(config, items))
    for item in items:
        job, label = job_of(item), item.stash.get(LABEL, None)
        if job is None or label is None:
            continue
        if label not in begun:
            problems.append(f"{asked}: {label!r} is no part of that run, {_parts(begun)}")
            continue
        before = begun[label].get("config", {})
        keys = [] if _extends(before, job) else list(_differing(before, job.config()))
        files = _differing(begun[label].get("policy_files", {}), policy_files(job, hashes), "policy")
        keys += [f"the content of {key}" for key in files]
        if keys:
            hint = ""
            if "gate.episodes_max" in keys:
                hint = (
                    "; a budget can only grow, with gate.method: e_process, and without rebuilds or shards: "
                    "begin a new run"
                )
            problems.append(
                f"{asked}: job {label!r} was begun with another configuration, "
                f"these keys differ: {', '.join(keys)}{hint}"
            )
    return problems


def _other_groups(asked: str, manifest: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> list[str]:
    before = {group["nodeid"]: group["thresholds"] for group in manifest.get("groups", [])}
    return [
        f"{asked}: {group['nodeid']} was begun with other thresholds, or without any"
        for group in groups
        if before.get(group["nodeid"]) != group["thresholds"]
    ]


def _extends(begun: Mapping[str, Any], job: Job) -> bool:
    """Whether *job* is the one that was begun, with a larger budget of a gate that stays valid so.

    Rebuilds and shards share the episodes out by their number: a larger one would change their seeds.
    """
    gate = begun.get("gate") or {}
    if job.gate is None or job.gate.method != "e_process" or job.rollout.rebuilds * job.rollout.shards != 1:
        return False
    smaller = gate.get("episodes_max", 0) < job.gate.episodes_max
    allowed = {"gate.episodes_max", "rollout.episodes"}
    return smaller and set(_differing(begun, job.config())) <= allowed


def _parts(begun: Mapping[str, Any]) -> str:
    return f"which has {first_few(begun) or 'no jobs'}"


def _differing(before: Any, now: Any, path: str = "") -> Iterator[str]:
    """Yield the dotted keys in which two plain configurations differ."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        if before != now:
            yield path
        return
    for key in sorted({*before, *now}):
        yield from _differing(before.get(key), now.get(key), f"{path}.{key}" if path else key)
