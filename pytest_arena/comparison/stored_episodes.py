"""The episodes of a baseline: read from its disk, and not trusted before they have been looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pytest_arena.errors import BaselineError
from pytest_arena.jobs.model import Job
from pytest_arena.records.episodes import numbered_episodes
from pytest_arena.records.schema import Episode, JobRecord, Outcome
from pytest_arena.rollout.metrics import Metric, require_own_value
from pytest_arena.rollout.scheduled import require_scheduled


@dataclass(frozen=True)
class StoredEpisodes:
    """The ``episodes.jsonl`` of a completed job, which is read when it is needed."""

    path: Path
    record: JobRecord
    job: Job | None
    """What it ran; None where the run does not say it, or as no job of this version."""

    @classmethod
    def of(cls, path: Path, record: JobRecord, config: Mapping[str, Any]) -> StoredEpisodes:
        """Return those at *path*; *config*: the job's, as the run has it."""
        try:
            return cls(path, record, Job.model_validate({**config}))
        except ValidationError:  # of an earlier version, or all that a record alone has
            return cls(path, record, None)

    def read(self, metric: Metric) -> list[Episode]:
        """Return the episodes that count, in their order: all, or those before a gate's decision.

        Raises `BaselineError`, one line that names the file, where they are not those that the job's schedule
        ran and its record tells, or where its number of *metric* is not theirs.
        """
        try:
            lines = list(numbered_episodes(self.path))
        except OSError as error:
            raise BaselineError(f"{self.path}: the episodes cannot be read: {error}") from None
        except ValueError as error:  # which names the file, and the line
            raise BaselineError(f"the episodes cannot be read: {error}") from None
        try:
            whole = self.job is not None and self.job.rollout.shards > 1
            require_scheduled(self.job, self.record, lines, whole=whole, older=True)
        except ValueError as error:
            raise BaselineError(f"{self.path}: {error}") from None
        counted = self.record.gate.counted if self.record.gate is not None else None
        episodes = sorted((episode for _, episode in lines), key=lambda episode: episode.episode)
        episodes = [e for e in episodes if counted is None or e.episode < counted]
        self._require_number(sum(e.outcome != Outcome.ERROR for e in episodes))
        try:
            require_own_value(self.record, metric.name, episodes)
        except ValueError as error:
            raise BaselineError(f"{self.path.with_name('record.json')}: {error}") from None
        return episodes

    def _require_number(self, found: int) -> None:
        measured = self.record.episodes.get("measured", 0)
        if found < max(1, measured) or (measured and found > measured):
            wanted = f"{measured} measured episodes, as the job's record says" if measured else "episodes"
            raise BaselineError(f"{self.path}: expected {wanted}, got {found}")
