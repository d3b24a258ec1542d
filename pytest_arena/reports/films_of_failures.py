"""The films that a reader of a failure wants to see, for reports that show a few."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pytest_arena.records.episodes import read_episodes
from pytest_arena.records.schema import Episode, JobRecord, Outcome


def films_to_show(run_dir: Path, record: JobRecord, at_most: int) -> list[tuple[str, Path]]:
    """Return the films of a job that show why it failed: the overview, then those of missed episodes.

    Args:
        run_dir: The run directory.
        record: The job's record.
        at_most: How many.

    Returns:
        (what it shows, path of the film), in that order; only films that are there.
    """
    return list(islice((found for found in _films(run_dir, record) if found[1].is_file()), at_most))


def _films(run_dir: Path, record: JobRecord) -> Iterator[tuple[str, Path]]:
    if "film" in record.overview:
        yield "overview", run_dir / record.overview["film"]
    for episode in missed_episodes(run_dir, record):
        for camera, film in episode.videos.items():
            yield f"episode {episode.episode}, {camera}", run_dir / film


def missed_episodes(run_dir: Path, record: JobRecord) -> list[Episode]:
    """Return the counted episodes that were no success, in their order; none that cannot be read.

    Args:
        run_dir: The run directory.
        record: The job's record.

    Returns:
        Failures, errors, and episodes whose success is not known.
    """
    with contextlib.suppress(OSError, ValueError):
        episodes = read_episodes(run_dir / str(record.episodes_path))
        errors = [episode for episode in episodes if episode.outcome == Outcome.ERROR]
        counted = [episode for episode in record.counted(episodes) if episode.outcome != Outcome.ERROR]
        missed = [episode for episode in counted if episode.outcome != Outcome.SUCCESS]
        return sorted([*errors, *missed], key=lambda episode: episode.episode)
    return []
