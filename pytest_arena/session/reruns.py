"""Reruns draw no new episodes: where episodes cannot be played again, the first measurement stands.

A job whose episodes are not reproducible draws others each time it runs. Run until it passes, a policy that
is exactly as good as its threshold passes five reruns of a 5 % gate in one case out of four. So what a
completed attempt measured is judged again, and nothing is simulated, by ``--reruns`` and by ``--lf``,
``--ff`` and ``--sw``. An attempt that ended as an error measured nothing: another one may.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_arena.policies.registry import policy_files, policy_source
from pytest_arena.records.episodes import read_episodes
from pytest_arena.records.manifest import Manifest
from pytest_arena.records.provenance import source_revision, versions
from pytest_arena.records.run_directory import RunDirectory
from pytest_arena.records.schema import Episode, JobRecord, Outcome, Status

if TYPE_CHECKING:
    from pytest_arena.jobs.model import Job

_OPTIONS = {"lf": "--lf", "failedfirst": "--ff", "stepwise": "--sw"}
"""pytest's options that run again what failed before."""
_FAILED = "pytest_arena/failed"
"""Key in pytest's cache: in which runs the tests failed that `cache/lastfailed` names."""


@dataclass(frozen=True)
class Standing:
    """A measurement that stands."""

    record: JobRecord
    episodes: list[Episode]
    """The measured ones."""
    note: str


def standing_measurement(
    config: pytest.Config, nodeid: str, job: Job, run: RunDirectory, label: str
) -> Standing | None:
    """Return what was measured of *job* and must not be drawn anew.

    Args:
        config: It tells whether ``--lf``, ``--ff`` or ``--sw`` was given, and has the cache of failed tests.
        nodeid: Of the test that evaluates the job.
        job: The job. An earlier run counts only if the job, its policy and the code are the same.
        run: The run of this session, whose completed attempts are looked at first.
        label: The job's label in this run.

    Returns:
        The measurement, without films and trajectories if it is an earlier run's; None where a new attempt is
        fair.

    Raises:
        OSError: The episodes cannot be read.
        StoredFileError: A line of them is no episode's.
    """
    judged = next((record for record in run.records_of(label) if _stands(record)), None)
    if judged is not None:
        return _standing(run, judged, f"attempt {judged.attempt}", "a rerun")
    option = _option(config)
    earlier = _failed_in(config, nodeid, job) if option is not None else None
    if option is None or earlier is None:
        return None
    where = earlier.path.name if earlier.path.parent == run.path.resolve().parent else str(earlier.path)
    for record in _measured(earlier, nodeid, label):
        found = _standing(earlier, record, f"the run {where}", option)
        found.record.hdf5_path = None  # the files of that run stay there
        for episode in found.episodes:
            episode.videos, episode.trajectory, episode.rerun = {}, None, None
        return found
    return None


def notes_on_new_episodes(
    config: pytest.Config, nodeid: str, job: Job, run: RunDirectory, label: str
) -> list[str]:
    """Return what makes an attempt that draws its episodes less than a first one; call before it begins.

    Args:
        config: It tells whether ``--lf``, ``--ff`` or ``--sw`` was given, and has the cache of failed tests.
        nodeid: Of the test that evaluates the job.
        job: The job.
        run: The run of this session, whose attempts at *label* are looked at.
        label: The job's label in this run.

    Returns:
        Notes for the record; none where the attempt is as good as a first one.
    """
    notes = _errors_before(run, label)
    option = _option(config)
    if option is None or any(run.attempts(label)):
        return notes
    if (earlier := _failed_in(config, nodeid, job)) is not None:
        notes.append(
            f"the job failed in the run {earlier.path}, and what was measured there cannot be read any more: "
            f"this attempt drew other episodes, and {option} until they pass tests nothing"
        )
    return notes


def remember_failures(config: pytest.Config, run: RunDirectory) -> None:
    """Keep in pytest's cache, beside what failed, in which run it was measured: for ``--lf`` and the like.

    Its folder may be another one then, and the job's label, too: it depends on what else is selected. A job
    that failed, and of which a part has passed since, is still one that failed: no part is judged.
    """
    cache = getattr(config, "cache", None)
    if cache is None:
        return
    lastfailed = getattr(config.pluginmanager.get_plugin("lfplugin"), "lastfailed", {})
    if known := _known_as_failed(config):
        parts = {str(record.nodeid) for record in run.records() if record.only is not None}
        lastfailed.update((nodeid, True) for nodeid in known if nodeid in parts)
    failed = {str(nodeid) for nodeid in lastfailed}
    runs = {nodeid: found for nodeid, found in _failures(config).items() if nodeid in failed}
    measured = [record for record in run.records() if record.nodeid in failed and _stands(record)]
    manifest = run.manifest() if measured else Manifest(jobs={})
    for record in measured:
        if (entry := manifest.jobs.get(record.job)) is None:
            continue
        seen = (entry.config_sha256, entry.policy_files, entry.policy_source)
        key = _key(*seen, manifest.revision, manifest.versions)
        before = runs.setdefault(str(record.nodeid), {})
        # Of what was only judged again, the first run keeps the name: its copies may be deleted before it.
        judged_again = "rollout_seconds" not in record.timings
        if not (judged_again and key in before and Path(before[key]).is_dir()):
            before[key] = str(run.path.resolve())
    cache.set(_FAILED, runs)


def _errors_before(run: RunDirectory, label: str) -> list[str]:
    """Return a note where an attempt at *label* ended as an error after episodes that cannot be run again."""
    lost = [
        str(record.attempt)
        for record in run.records_of(label)
        if record.status in (Status.ERROR, Status.CRASHED)
        and not record.reproducible
        and record.episodes.get("measured", 0) + record.episodes.get("errors", 0) > 0
    ]
    if not lost:
        return []
    return [
        f"attempt {', '.join(lost)} ended as an error, and this one drew other episodes: if errors "
        "come with failures, its rates are too high"
    ]


def _stands(record: JobRecord) -> bool:
    return record.status is Status.COMPLETED and not record.reproducible


def _standing(run: RunDirectory, record: JobRecord, what: str, how: str) -> Standing:
    episodes = read_episodes(run.directory_of(record).episodes)
    note = (
        f"the measurement of {what} stands: its episodes cannot be played again, and {how} that drew others "
        "until they pass would test nothing; a run without it evaluates the job anew"
    )
    return Standing(record, [e for e in episodes if e.outcome != Outcome.ERROR], note)


def _measured(run: RunDirectory, nodeid: str, label: str) -> list[JobRecord]:
    """Return the records of what *run* measured of the test, the last first; of two, that at *label*."""
    records = [
        record
        for record in run.records()
        if record.nodeid == nodeid and _stands(record) and run.directory_of(record).episodes.is_file()
    ]
    return sorted(records, key=lambda record: (record.job == label, record.attempt), reverse=True)


def _option(config: pytest.Config) -> str | None:
    return next((text for name, text in _OPTIONS.items() if config.getoption(name, default=False)), None)


def _failures(config: pytest.Config) -> dict[str, dict[str, str]]:
    """Return node id -> what can be seen of the job -> run in which it failed, of the tests that fail."""
    cache = getattr(config, "cache", None)
    found = cache.get(_FAILED, {}) if cache is not None else {}
    sound = isinstance(found, dict) and all(
        isinstance(runs, dict) and all(isinstance(path, str) for path in runs.values())
        for runs in found.values()
    )
    return found if sound else {}


def _known_as_failed(config: pytest.Config) -> dict[str, bool]:
    """Return what pytest's cache has of tests that failed, as the session found it: node id -> True."""
    cache = getattr(config, "cache", None)
    found = cache.get("cache/lastfailed", {}) if cache is not None else {}
    return found if isinstance(found, dict) else {}


def _failed_in(config: pytest.Config, nodeid: str, job: Job) -> RunDirectory | None:
    """Return the run in which the test failed, if nothing that can be seen of *job* has changed since."""
    runs = _failures(config).get(nodeid)
    if not runs or nodeid not in _known_as_failed(config):
        return None
    seen = (job.sha256(), policy_files(job), policy_source(job))
    key = _key(*seen, source_revision(config.rootpath), versions())
    return RunDirectory(Path(runs[key])) if key in runs else None


def _key(*seen: object) -> str:
    """Return a text that is another one if the job, its policy's files, the code or versions are others."""
    return sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()
