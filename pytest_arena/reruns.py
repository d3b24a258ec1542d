"""Reruns draw no new episodes: where episodes cannot be played again, the first measurement stands.

A job whose episodes are not reproducible draws others each time it runs. Run until it passes, a policy that
is exactly as good as its threshold passes five reruns of a 5 % gate in one case out of four. So what a
completed attempt measured is judged again, and nothing is simulated, by ``--reruns`` and by ``--lf``,
``--ff`` and ``--sw``. An attempt that ended as an error measured nothing: another one may.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena.policies.registry import policy_files
from pytest_arena.records.directory import RUNS_READ, RunDirectory, read_episodes, read_record
from pytest_arena.records.provenance import source_revision, versions
from pytest_arena.records.schema import Episode, JobRecord, Outcome, Status

if TYPE_CHECKING:
    from pytest_arena.jobs.model import Job

_OPTIONS = {"lf": "--lf", "failedfirst": "--ff", "stepwise": "--sw"}
"""pytest's options that run again what failed before."""
_BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""What reading the files of a killed or foreign run may raise."""


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
    """Return what was measured of *job* and must not be drawn anew; None where a new attempt is fair."""
    judged = [(folder, record) for folder, record in _attempts(run, label) if _stands(record)]
    if judged:
        folder, record = judged[-1]
        return _standing(folder, record, f"attempt {record.attempt}", "a rerun")
    option = next((text for name, text in _OPTIONS.items() if config.getoption(name, default=False)), None)
    if option is None or nodeid not in _failed_before(config):
        return None
    for earlier in _earlier_runs(run):
        for folder, record in _attempts(earlier, label):
            if not _stands(record) or not _same(config, earlier, job, label):
                return None
            found = _standing(folder, record, f"the run {earlier.path.name}", option)
            found.record.hdf5_path = None  # the files of that run stay there
            for episode in found.episodes:
                episode.videos, episode.trajectory = {}, None
            return found
    return None


def errors_before(run: RunDirectory, label: str) -> list[str]:
    """Return a note where an attempt at *label* ended as an error after episodes that cannot be run again."""
    lost = [
        str(record.attempt)
        for _, record in _attempts(run, label)
        if record.status in (Status.ERROR, Status.CRASHED)
        and not record.reproducible
        and record.episodes.get("measured", 0) + record.episodes.get("errors", 0) > 0
    ]
    if not lost:
        return []
    return [
        f"attempt {', '.join(reversed(lost))} ended as an error, and this one drew other episodes: if errors "
        "come with failures, its rates are too high"
    ]


def _stands(record: JobRecord) -> bool:
    return record.status is Status.COMPLETED and not record.reproducible


def _standing(folder: Path, record: JobRecord, what: str, how: str) -> Standing:
    episodes = [e for e in read_episodes(folder / "episodes.jsonl") if e.outcome != Outcome.ERROR]
    note = (
        f"the measurement of {what} stands: its episodes cannot be played again, and {how} that drew others "
        "until they pass would test nothing; a run without it evaluates the job anew"
    )
    return Standing(record, episodes, note)


def _attempts(run: RunDirectory, label: str) -> Iterator[tuple[Path, JobRecord]]:
    """Yield folder and record of each attempt at *label*, the last one first."""
    for folder in reversed(list(run.attempts(label))):
        with contextlib.suppress(OSError, ValueError):
            yield folder, read_record(folder / "record.json")


def _earlier_runs(run: RunDirectory) -> Iterator[RunDirectory]:
    """Yield the runs beside *run* that were begun before it, the latest first."""
    beside = (path for path in run.path.parent.iterdir() if (path / "run.json").is_file())
    earlier = sorted((path for path in beside if path.name < run.path.name), reverse=True)
    yield from map(RunDirectory, earlier[:RUNS_READ])


def _failed_before(config: pytest.Config) -> Mapping[str, Any]:
    cache = getattr(config, "cache", None)
    return cache.get("cache/lastfailed", {}) if cache is not None else {}


def _same(config: pytest.Config, earlier: RunDirectory, job: Job, label: str) -> bool:
    """Whether nothing that can be seen of *job* has changed since: file, policy's files, code, versions."""
    try:
        manifest = earlier.manifest()
        entry = manifest["jobs"][label]
        before = entry["config_sha256"], entry["policy_files"], manifest["revision"], manifest["versions"]
    except _BROKEN:
        return False
    return before == (job.sha256(), policy_files(job), source_revision(config.rootpath), versions())
