"""One job's part of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_arena.records.episode_command import command_parts, why_not_alone
from pytest_arena.reports.html.episode_rows import EpisodeTable
from pytest_arena.reports.html.films import Films
from pytest_arena.reports.html.render import render
from pytest_arena.reports.html.stored_job import StoredJob


def job_section(job: StoredJob, films: Films, run: Mapping[str, Any]) -> str:
    """Return the ``<section>`` of *job*; its episodes are read while it is made.

    Args:
        job: The attempt.
        films: Where the page finds films.
        run: ``run.json`` as it is.

    Returns:
        HTML. What belongs to the job stands in a ``<noscript>``: see ``scripts/view.js``.
    """
    table = EpisodeTable(job, films, _command(job, run))
    return render("job.html", job=job, record=job.record, table=table, notes=job.notes)


def _command(job: StoredJob, run: Mapping[str, Any]) -> tuple[str, str] | str:
    """Return what stands before and behind an episode's index in its command, or why it has none."""
    if job.record is None:
        return "the job has no record"
    return command_parts(run, job.record) or why_not_alone(run, job.record) or ""
