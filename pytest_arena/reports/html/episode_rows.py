"""The table of a job's episodes: a row each, read line by line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pytest_arena.records.json_files import json_lines
from pytest_arena.records.schema import Episode
from pytest_arena.reports.html.films import Films
from pytest_arena.reports.html.stored_job import StoredJob


@dataclass
class EpisodeTable:
    """A job's episodes, for the template."""

    job: StoredJob
    films: Films
    notes: list[str] = field(default_factory=list)
    """Lines that could not be read; complete when the rows have been taken."""

    def rows(self) -> Iterator[Episode]:
        """Yield the episodes in their order."""
        path = self.job.path / "episodes.jsonl"
        found = []
        try:
            for number, line in json_lines(path):
                try:
                    found.append(Episode.from_json(line))
                except ValueError as error:
                    self.notes.append(f"episodes.jsonl, line {number}: {error}")
        except (OSError, ValueError) as error:
            self.notes.append(f"episodes.jsonl cannot be read: {error}")
        yield from sorted(found, key=lambda episode: episode.episode)
