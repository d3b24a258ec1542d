"""Whether the jobs that are asked for are those of the run that is resumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena.errors import RunDirectoryError, first_few, shown
from pytest_arena.evaluation.stored_run_check import check_run, require_run_directory, same_test
from pytest_arena.options import asked_by, settings
from pytest_arena.parallel.shared_run_directory import hold
from pytest_arena.policies.registry import policy_files
from pytest_arena.records.episodes import read_episodes
from pytest_arena.records.lock import RunInUseError
from pytest_arena.records.manifest import JobEntry, Manifest
from pytest_arena.records.run_directory import RunDirectory
from pytest_arena.session.job_items import LABEL, job_of, whole_node_id

if TYPE_CHECKING:
    from pytest_arena.jobs.model import Job


def require_sound(config: pytest.Config, path: Path, asked: str) -> None:
    """Take the run that is to be resumed, and check all of it, before workers start.

    Args:
        config: Holds the run until its cleanup; a session that only collects does not take it.
        path: The run directory.
        asked: The option or setting by which the user named it; messages begin with it.

    Raises:
        UsageError: One line: another session works in it, or it is not what was written.
    """
    try:
        require_run_directory(path)
        if not config.option.collectonly:
            hold(config, path)
        check_run(path)
    except (RunDirectoryError, RunInUseError) as error:
        raise pytest.UsageError(f"{asked}: {error}") from None
    except OSError as error:
        raise pytest.UsageError(f"{asked}: cannot be gone on with: {error}") from None


def differences(
    config: pytest.Config, items: Sequence[pytest.Item], groups: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Return what of the session is not as in the run that is resumed.

    Args:
        config: It names the run that is resumed, if any.
        items: The selected items; those without a job are left out.
        groups: Those of the job files, as the manifest has them.

    Returns:
        A line for each job or group that is not the one that the run was begun with; none where no run is
        resumed.
    """
    path = settings(config).resume
    if path is None:
        return []
    asked = f"{asked_by(config, 'arena_resume')} {path}"
    run, hashes = RunDirectory(path), dict[Path, str]()
    manifest = run.manifest()
    problems = list(_other_groups(manifest, groups))
    for item in items:
        job, label = job_of(item), item.stash.get(LABEL, None)
        if job is None or label is None:
            continue
        if (entry := manifest.jobs.get(label)) is None:
            known = first_few(manifest.jobs) or "no jobs"
            problems.append(f"{label!r} is no part of that run, which has {known}")
            continue
        problems += _other_tests(item, job, label, entry)
        keys = [] if _extends(entry.config, job) else list(_differing(entry.config, job.config()))
        files = _differing(entry.policy_files, policy_files(job, hashes), "policy")
        keys += [f"the content of {key}" for key in files]
        if keys:
            problems.append(_other_configuration(label, keys))
        elif (beyond := _beyond(run, label, job)) is not None:
            problems.append(beyond)
    return [f"{asked}: {problem}" for problem in problems]


def _other_configuration(label: str, keys: Sequence[str]) -> str:
    hint = ""
    if "gate.episodes_max" in keys:
        hint = (
            "; a budget can only grow, with gate.method: e_process, and without rebuilds or shards: "
            "begin a new run"
        )
    return f"job {label!r} was begun with another configuration, these keys differ: {', '.join(keys)}{hint}"


def _other_groups(manifest: Manifest, groups: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    before = {group.nodeid: group for group in manifest.groups}
    for group in groups:
        begun = before.get(group["nodeid"])
        if begun is None or begun.thresholds != group["thresholds"]:
            yield f"{group['nodeid']} was begun with other thresholds, or without any"
        elif any({*labels} - {*begun.jobs.get(name, ())} for name, labels in group["jobs"].items()):
            yield f"{group['nodeid']} was begun with other jobs"


def _other_tests(item: pytest.Item, job: Job, label: str, entry: JobEntry) -> Iterator[str]:
    """Yield where run.json has another test: its node ids are printed, and decide whose report is whose."""
    ids = {f"jobs.{label}.nodeid": (item.nodeid, entry.nodeid)}
    if entry.shard is not None:
        ids[f"jobs.{label}.shard.nodeid"] = whole_node_id(item, job), entry.shard.nodeid
    for key, (expected, got) in ids.items():
        if got and not same_test(expected, got):
            yield f"run.json: {key}: expected {expected!r}, got {shown(got)}"


def _extends(begun: Mapping[str, Any], job: Job) -> bool:
    """Whether *job* is the one that was begun, with a larger budget of a gate that stays valid so.

    Rebuilds and shards share the episodes out by their number: a larger one would change their seeds.
    """
    gate = begun.get("gate") or {}
    if job.gate is None or job.gate.method != "e_process" or job.rollout.rebuilds * job.rollout.shards != 1:
        return False
    smaller = gate.get("episodes_max", 0) < job.gate.episodes_max
    allowed = {"gate.episodes_max", "rollout.episodes"}
    seeds, longer = (begun.get("environment") or {}).get("seeds"), job.environment.seeds
    if isinstance(seeds, list) and isinstance(longer, tuple) and [*longer[: len(seeds)]] == seeds:
        allowed.add("environment.seeds")
    return smaller and set(_differing(begun, job.config())) <= allowed


def _beyond(run: RunDirectory, label: str, job: Job) -> str | None:
    """Say which episode of the last attempt the job does not want: its gate may have had a larger budget."""
    if job.gate is None or job.gate.method != "e_process" or not (records := run.records_of(label)):
        return None
    path, wanted = run.directory_of(records[-1]).episodes, job.rollout.episodes or 0
    last = max((episode.episode for episode in read_episodes(path)), default=0)
    if last < wanted:
        return None
    where = path.relative_to(run.path).as_posix()
    return f"{where}: expected episodes 0 to {wanted - 1}, got {last}: its budget was larger"


def _differing(before: Any, now: Any, path: str = "") -> Iterator[str]:
    """Yield the dotted keys in which two plain configurations differ."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        # Earlier versions did not know all keys: without one, a mapping is as good as empty.
        if ({} if before is None else before) != ({} if now is None else now):
            yield path
        return
    for key in sorted({*before, *now}):
        yield from _differing(before.get(key), now.get(key), f"{path}.{key}" if path else key)
