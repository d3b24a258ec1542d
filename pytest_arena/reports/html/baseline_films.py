"""Films of the episodes whose outcome differs from the baseline's, if that run is still there."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from urllib.parse import quote

from pytest_arena.records.json_files import json_lines
from pytest_arena.records.run_directory import RunDirectory
from pytest_arena.records.schema import Episode
from pytest_arena.reports.html.film_pairs import FilmPair, film_pairs
from pytest_arena.reports.html.films import Films
from pytest_arena.reports.html.stored_job import StoredJob


def films_of_both(job: StoredJob) -> tuple[list[FilmPair], int]:
    """Return the films of the episodes that counted in one run only, as `film_pairs` does.

    None of them is put into the page itself: the baseline's are found where it is, or not at all.
    """
    comparison = job.record.comparison if job.record is not None else None
    if comparison is None or comparison.baseline is None or not (comparison.lost or comparison.gained):
        return [], 0
    baseline, differ = Path(comparison.baseline), {*comparison.lost, *comparison.gained}
    attempts = RunDirectory(baseline).attempts(job.label)
    if not attempts:
        return [], 0
    before = _sources(baseline, attempts[-1].path, differ, job.path.parent)
    after = _sources(job.path.parent, job.path, before, job.path.parent)
    return film_pairs(comparison.lost, comparison.gained, before, after)


def baseline_page(job: StoredJob) -> str | None:
    """Return the URL of the job in its baseline's page, from the page of this run; None without one."""
    comparison = job.record.comparison if job.record is not None else None
    if comparison is None or comparison.baseline is None:
        return None
    page = Path(comparison.baseline) / "index.html"
    if not page.is_file() or not (attempts := RunDirectory(page.parent).attempts(job.label)):
        return None
    return f"{_url(page, job.path.parent)}#{quote(attempts[-1].path.name)}"


def _sources(
    run_dir: Path, folder: Path, wanted: Collection[int], page_dir: Path
) -> dict[int, dict[str, str]]:
    """Return the films of the *wanted* episodes in a job's *folder*: episode -> camera -> URL on the page."""
    films, found = Films(run_dir), dict[int, dict[str, str]]()
    lines = folder / "episodes.jsonl"
    if not wanted or not lines.is_file():
        return found
    for _, line in json_lines(lines):
        if isinstance(line, dict) and line.get("episode") in wanted and line.get("videos"):
            episode = Episode.from_json(line)
            there = {camera: path for camera, path in episode.videos.items() if films.size(path) is not None}
            if there:
                found[episode.episode] = {camera: _url(run_dir / p, page_dir) for camera, p in there.items()}
    return found


def _url(path: Path, page_dir: Path) -> str:
    """Return the URL of *path* on a page in *page_dir*."""
    return quote(os.path.relpath(path, page_dir), errors="surrogateescape")
