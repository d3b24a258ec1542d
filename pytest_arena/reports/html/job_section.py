"""One job's part of the page."""

from __future__ import annotations

from pytest_arena.reports.html.episode_rows import EpisodeTable
from pytest_arena.reports.html.films import Films
from pytest_arena.reports.html.render import render
from pytest_arena.reports.html.stored_job import StoredJob


def job_section(job: StoredJob, films: Films) -> str:
    """Return the ``<section>`` of *job*; its episodes are read while it is made.

    Args:
        job: The attempt.
        films: Where the page finds films.

    Returns:
        HTML. What belongs to the job stands in a ``<noscript>``: see ``scripts/view.js``.
    """
    table = EpisodeTable(job, films)
    return render("job.html", job=job, record=job.record, table=table, notes=job.notes)
