"""Writes ``episodes.jsonl``: each finished episode is on disk before the next step is taken."""

from __future__ import annotations

from pytest_arena.recorders.base import Recorded, Recorder, RolloutContext
from pytest_arena.records.jsonl import JsonLinesWriter
from pytest_arena.records.schema import Episode


class EpisodeWriter(Recorder):
    """Comes last among the recorders, so that a line names the files of the others."""

    def __init__(self, *, resume: bool = False) -> None:
        """Write a new file, or go on with one that is there."""
        self._resume = resume
        self._writer: JsonLinesWriter | None = None

    def start(self, context: RolloutContext) -> None:
        """Open the file; a rebuild goes on with the same one."""
        if self._writer is None:
            self._writer = JsonLinesWriter(context.directory / "episodes.jsonl", resume=self._resume)

    def on_end(self, row: int, episode: Episode) -> None:
        """Append the episode's line."""
        if self._writer is not None:
            self._writer.append(episode.to_json())

    def close(self) -> Recorded:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
        return Recorded()
