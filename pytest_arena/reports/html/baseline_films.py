"""Films of the episodes whose outcome differs from the baseline's, if that run is still there."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from pytest_arena.records.page_address import PAGE
from pytest_arena.records.run_directory import RunDirectory
from pytest_arena.reports.html.film_pairs import FilmPair, film_pairs
from pytest_arena.reports.html.run_films import beside, films_of
from pytest_arena.reports.html.stored_job import StoredJob


def films_of_both(job: StoredJob) -> tuple[list[FilmPair], int, list[str]]:
    """Return the films of the episodes that counted in one run only, as `film_pairs` does, and notes.

    None of them is put into the page itself: the baseline's are found where it is, or not at all.
    """
    comparison = job.record.comparison if job.record is not None else None
    if comparison is None or comparison.baseline is None or not (comparison.lost or comparison.gained):
        return [], 0, []
    attempts = RunDirectory(Path(comparison.baseline)).attempts(job.label)
    if not attempts:
        return [], 0, []
    page = job.path.with_name(PAGE)
    before, notes = films_of(attempts[-1].episodes, [*comparison.lost, *comparison.gained], page)
    after, _ = films_of(job.path / "episodes.jsonl", before, page)  # the table of episodes has notes of these
    return *film_pairs(comparison.lost, comparison.gained, before, after), notes


def baseline_page(job: StoredJob) -> str | None:
    """Return the URL of the job in its baseline's page, from the page of this run; None without one."""
    comparison = job.record.comparison if job.record is not None else None
    if comparison is None or comparison.baseline is None:
        return None
    page = Path(comparison.baseline) / PAGE
    if not page.is_file() or not (attempts := RunDirectory(page.parent).attempts(job.label)):
        return None
    return f"{beside(job.path.with_name(PAGE), page)}#{quote(attempts[-1].path.name)}"
