"""The films of one job of a run, for a page that may stand anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePath
from urllib.parse import quote

from pytest_arena.records.json_files import json_lines
from pytest_arena.records.schema import Episode
from pytest_arena.reports.html.film_pairs import Sources
from pytest_arena.reports.html.films import Films


def beside(page: Path, path: Path) -> str:
    """Return the URL of the file or folder *path* relative to the folder of *page*."""
    relative = os.path.relpath(path.resolve(), page.parent.resolve())
    return quote(PurePath(relative).as_posix(), errors="surrogateescape")


def films_of(episodes: Path, wanted: Iterable[int], page: Path) -> tuple[Sources, list[str]]:
    """Return where *page* finds the films of some episodes of a job.

    Args:
        episodes: The job's ``episodes.jsonl``, in its folder in a run directory.
        wanted: Indices of the episodes.
        page: The page's file, which need not exist yet.

    Returns:
        Episode -> camera -> URL of the film; and what could not be found, a line each.
    """
    numbers = set(wanted)
    if not numbers or not episodes.is_file():
        return {}, []
    run_dir = episodes.parent.parent
    films, folder = Films(run_dir), beside(page, run_dir)
    before = "" if folder == "." else f"{folder}/"
    found: dict[int, dict[str, str]] = {}
    notes = []
    try:
        for _, line in json_lines(episodes):
            index = line.get("episode") if isinstance(line, dict) else None
            if not (isinstance(index, int) and index in numbers and line.get("videos")):
                continue  # of thousands of episodes a few differ
            episode = Episode.from_json(line)
            sources = {camera: films.source(path) for camera, path in episode.videos.items()}
            found[episode.episode] = {
                camera: f"{before}{source}" for camera, source in sources.items() if source
            }
    except (OSError, ValueError) as error:
        notes.append(f"{episodes}: not all films can be found: {error}")
    notes += [f"{run_dir}: {note}" for note in films.take_notes()]
    return found, notes
