"""``run.json``: what a run was begun with."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena.options import settings
from pytest_arena.parallel.shared_run_directory import arguments, command
from pytest_arena.policies.registry import policy_files, policy_source
from pytest_arena.records.files import utc_now
from pytest_arena.records.page_address import PAGE
from pytest_arena.records.provenance import machine, source_revision, versions
from pytest_arena.records.run_directory import RunDirectory
from pytest_arena.records.schema import SCHEMA_VERSION
from pytest_arena.session.current_run import Run
from pytest_arena.session.job_items import LABEL, environment_key, job_of, whole_label, whole_node_id

if TYPE_CHECKING:
    from pytest_arena.jobs.model import Job


def write_manifest(session: pytest.Session, directory: RunDirectory, groups: list[dict[str, Any]]) -> None:
    """Write ``run.json`` in the first process that gets here; the others find it.

    Args:
        session: Its items are the jobs of the run.
        directory: The run directory.
        groups: Those of the job files, as the manifest has them.

    Raises:
        OSError: The file cannot be written.
    """
    if directory.manifest_path.exists():
        return  # another worker, or the run that is resumed, was first
    config, hashes = session.config, dict[Path, str]()
    jobs = {item.stash[LABEL]: (item, job) for item in session.items if (job := job_of(item)) is not None}
    directory.publish_manifest(
        {
            "schema_version": SCHEMA_VERSION,
            "run": directory.path.name,
            "command": command(config),
            "working_directory": str(config.invocation_params.dir),
            "rootdir": str(config.rootpath),
            "arguments": arguments(config),
            "started_at": utc_now(),
            "versions": versions(),
            "revision": source_revision(config.rootpath),
            "machine": machine(),
            "options": vars(settings(config)),
            "jobs": {
                label: {
                    "nodeid": item.nodeid,
                    **_place(job),
                    "config_sha256": job.sha256(),
                    # Schedulers read these: what can share an environment, what a process, how long it is.
                    "environment_group": fingerprint(environment_key(job)),
                    "launch_group": fingerprint(launch) if (launch := environment_key(job)[0]) else None,
                    "steps_at_most": steps_at_most(job),
                    **_whole(item, job),
                    "policy_files": policy_files(job, hashes),
                    "policy_source": policy_source(job),
                    "config": job.config(),
                }
                for label, (item, job) in jobs.items()
            },
            "groups": groups,
        }
    )


def note_resume(config: pytest.Config, run: Run) -> None:
    """Add this session to those that have worked on the run, whose page is no longer true."""
    with contextlib.suppress(OSError):  # the end of the session tells what is in the page's way
        (run.directory.path / PAGE).unlink(missing_ok=True)
    sessions = run.directory.manifest().resumed
    with run.writing("run.json"):
        run.directory.finish_manifest(
            resumed=[*sessions, {"command": command(config), "started_at": utc_now()}]
        )


def _whole(item: pytest.Item, job: Job) -> dict[str, Any]:
    """Return the entry that tells which job a shard is a part of."""
    if job.shard is None:
        return {}
    whole = {"label": whole_label(item), "nodeid": whole_node_id(item, job)}
    return {"shard": {"index": job.shard.index, "count": job.shard.count, **whole}}


def _place(job: Job) -> dict[str, Any]:
    """Return where the job is written; nothing for a job that was made in Python."""
    if job.source is None:
        return {}
    line, _ = job.source.locate(())
    return {"file": str(job.source.file), "line": line}


def fingerprint(key: Hashable) -> str:
    """Return a short text that is equal for equal keys, in any process."""
    return sha256(repr(key).encode()).hexdigest()[:12]


def steps_at_most(job: Job) -> int:
    """Return an upper bound of the job's steps over all rows, to compare jobs by; 100 a missing horizon."""
    limit, environment = job.rollout, job.environment
    if limit.episodes is not None:
        return len(job.wanted_episodes) * (environment.max_episode_steps or 100)
    return limit.rebuilds * environment.num_envs * (limit.steps if isinstance(limit.steps, int) else 100)
