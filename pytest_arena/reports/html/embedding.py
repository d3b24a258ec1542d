"""Which films go into the page, where a budget lets some: those of failures first, all over the run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pytest_arena.records.schema import Outcome
from pytest_arena.reports.html.episode_lines import stored_episodes
from pytest_arena.reports.html.films import Films
from pytest_arena.reports.html.stored_job import StoredJob

_FAILED = (Outcome.FAILURE, Outcome.ERROR)


class _Candidate(NamedTuple):
    """Files that go into the page together, or not at all; in the order in which they are taken."""

    rank: int
    """0 of an episode that failed, 1 of another one, 2 of an overview."""
    place: int
    """How many of the same rank its job has before it: every job has a first one before any has a second."""
    job: int
    paths: tuple[str, ...]
    size: int
    """Characters in the page."""


def embedded(jobs: Iterable[StoredJob], films: Films, budget: int) -> tuple[frozenset[str], str]:
    """Choose the films that go into the page.

    Args:
        jobs: Every attempt of the run. Their episodes are read, one job after the other.
        films: Where the files are.
        budget: Characters of the page that films may take: four for three bytes of a film.

    Returns:
        The paths of the files to embed, and a sentence that says how many of how many films these are.
    """
    candidates = sorted(c for number, job in enumerate(jobs) for c in _of_job(number, job, films))
    taken: set[str] = set()
    left, count, named = budget, 0, set[str]()
    for candidate in candidates:
        new = [path for path in candidate.paths if path not in named]
        if candidate.rank < 2:
            named.update(new)
        if new and candidate.size <= left:
            left -= candidate.size
            taken.update(candidate.paths)
            count += len(new) if candidate.rank < 2 else 0
    return frozenset(taken), _said(count, len(named))


def _said(count: int, every: int) -> str:
    if not every:
        return "the run has no films that could be put into this page"
    if count == every:
        return f"all {count} films are in this page" if count > 1 else "the only film is in this page"
    return (
        f"{count} of {every} films are in this page, those of failures first; "
        "others play where the page lies in its run directory"
    )


def _of_job(number: int, job: StoredJob, films: Films) -> Iterable[_Candidate]:
    """Yield what there is of a *job*, the run's *number*-th."""
    places = [0, 0]
    for episode in stored_episodes(job.path / "episodes.jsonl")[0]:
        rank = 0 if episode.outcome in _FAILED else 1
        if found := _sized(episode.videos.values(), films):
            yield _Candidate(rank, places[rank], number, *found)
            places[rank] += 1
    if job.record is not None:
        overview = [job.record.overview[kind] for kind in ("film", "poster") if kind in job.record.overview]
        if found := _sized(overview, films):
            yield _Candidate(2, 0, number, *found)
    films.take_notes()


def _sized(paths: Iterable[str], films: Films) -> tuple[tuple[str, ...], int] | None:
    sizes = {path: size for path in paths if (size := films.size(path)) is not None}
    return (tuple(sizes), sum((size + 2) // 3 * 4 for size in sizes.values())) if sizes else None
