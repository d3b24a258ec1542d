"""What all trackers have in common: each job once, in the process that reports, and no failure of the run.

A tracker gets a job when its record is closed: in the process that ran it, or, with pytest-xdist, in the
one that started the workers, as soon as the worker's report is there. A sharded job comes once, as a whole.
What a tracker raises is a warning; nothing more is tracked then, so that a service that does not answer
is waited for once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena.options import is_worker
from pytest_arena.reports.warn import warn

if TYPE_CHECKING:
    from pytest_arena.records.schema import Episode, JobRecord

RECORD = "arena_record"
"""The property of a test's report that names its job's record."""


@dataclass(frozen=True)
class TrackedJob:
    """A job whose record is closed."""

    run_dir: Path
    record: JobRecord
    config: Mapping[str, Any]
    """The job, resolved."""
    episodes: Sequence[Episode]
    """Those that the job's numbers are made of, in their order."""

    def numbers(self) -> dict[str, float]:
        """Return metric -> value, and the two ends of a rate's interval; what was not measured is missing."""
        record = self.record
        found = {name: value for name, value in record.metrics.items() if value is not None}
        for name, (low, high) in record.intervals.items():
            found |= {f"{name}_low": low, f"{name}_high": high}
        counts = {f"episodes_{name}": float(number) for name, number in record.episodes.items()}
        return found | counts | {f"seconds/{name}": value for name, value in record.timings.items()}

    def curves(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Yield the index of each episode, and its numbers; a success that was not measured is missing."""
        for episode in self.episodes:
            row: dict[str, float | None] = {"return": episode.return_, "length": episode.length}
            if episode.outcome in ("success", "failure"):
                row["success"] = float(episode.outcome == "success")
            row |= episode.metrics
            yield episode.episode, {f"episodes/{k}": float(v) for k, v in row.items() if v is not None}

    def words(self) -> dict[str, str]:
        """Return what identifies the job, and what became of it."""
        record = self.record
        return {
            "run": self.run_dir.name,
            "job": record.job,
            "attempt": str(record.attempt),
            "simulator": record.simulator,
            "environment": record.environment,
            "policy": record.policy,
            "status": str(record.status),
            "verdict": str(record.verdict),
            "config_sha256": record.config_sha256,
            "error": record.error["message"] if record.error else "",
        }

    def settings(self) -> dict[str, str]:
        """Return the job's settings as dotted key -> text."""
        return dict(_flat(self.config))


def _flat(config: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{key}.")
        elif value not in (None, {}, [], ()):
            yield f"{before}{key}", str(value)


def track(config: pytest.Config, name: str, package: str, log: Callable[[TrackedJob], None]) -> None:
    """Track the jobs of this session; in a worker of pytest-xdist nothing is done.

    Args:
        config: The session's.
        name: The tracker's, that of its module and of the extra that installs *package*.
        package: What it needs. Raises `pytest.UsageError` where it is not installed.
        log: Called with each job, once.
    """
    if find_spec(package) is None:
        raise pytest.UsageError(
            f"-p pytest_arena.trackers.{name} needs {package}: pip install 'pytest-arena[{name}]'"
        )
    if not is_worker(config):
        config.pluginmanager.register(Tracking(config, name, log), f"arena-tracker-{name}")


class Tracking:
    """The plugin that hands jobs to a tracker."""

    def __init__(self, config: pytest.Config, name: str, log: Callable[[TrackedJob], None]) -> None:
        self._config, self._name, self._log = config, name, log
        self._seen: set[tuple[str, int]] = set()
        self._off = False

    def pytest_arena_record(self, record: JobRecord, run_dir: Path) -> None:
        """Take a job that this process ran, or whose shards it has put together."""
        if not _is_part(record, run_dir):
            self._take(record, run_dir)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a job that a worker ran, or died of."""
        path = dict(report.user_properties).get(RECORD)
        if not hasattr(report, "node") or not isinstance(path, str) or self._off:
            return
        from pytest_arena.records.run_directory import read_record
        from pytest_arena.session.current_run import run_of

        run_dir = run_of(self._config).directory.path
        try:
            record = read_record(run_dir / path)
        except (OSError, ValueError) as error:
            self._give_up(f"{path}: {error}")
            return
        if not _is_part(record, run_dir):
            self._take(record, run_dir)

    def _take(self, record: JobRecord, run_dir: Path) -> None:
        if self._off or (record.job, record.attempt) in self._seen:
            return
        self._seen.add((record.job, record.attempt))
        try:
            self._log(_tracked(record, run_dir))
        except Exception as error:
            self._give_up(f"{type(error).__name__}: {error}")

    def _give_up(self, reason: str) -> None:
        self._off = True
        warn(self._config, f"{self._name} tracks no more jobs of this session: {reason}")


def _is_part(record: JobRecord, run_dir: Path) -> bool:
    """Whether the record is that of some episodes of a job: its numbers are not the job's."""
    if record.only is not None:
        return True
    from pytest_arena.records.run_directory import RunDirectory

    entry = RunDirectory(run_dir).manifest_if_sound().jobs.get(record.job)
    return entry is not None and entry.shard is not None


def _tracked(record: JobRecord, run_dir: Path) -> TrackedJob:
    from pytest_arena.records.episodes import read_episodes
    from pytest_arena.records.run_directory import RunDirectory
    from pytest_arena.records.schema import Outcome

    config = RunDirectory(run_dir).manifest_if_sound().configs().get(record.job, {})
    episodes = read_episodes(run_dir / record.episodes_path) if record.episodes_path else []
    measured = [episode for episode in record.counted(episodes) if episode.outcome != Outcome.ERROR]
    return TrackedJob(run_dir, record, config, measured)
