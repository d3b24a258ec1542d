"""``index.html`` of a run directory: written job by job, so that only one job's episodes are in memory."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import IO

from pytest_arena.records.page_address import PAGE
from pytest_arena.reports.html.embedding import embedded
from pytest_arena.reports.html.films import Films
from pytest_arena.reports.html.job_row import JobRow
from pytest_arena.reports.html.job_section import job_section
from pytest_arena.reports.html.jobs_table import JobsTable
from pytest_arena.reports.html.packed import LARGEST, packed
from pytest_arena.reports.html.render import Inline, render
from pytest_arena.reports.html.run_head import RunHead
from pytest_arena.reports.html.stored_job import raw_manifest, stored_jobs

STYLES = ("base", "head", "jobs", "job", "comparison_parts", "episodes")
SCRIPTS = ("view", "copy", "head", "jobs", "films", "pairs", "episodes", "episode_films", "charts")


def write_run_page(run_dir: Path, *, embed: int = 0) -> Path:
    """Write the page of the run in *run_dir*, and return its path.

    Args:
        run_dir: The run directory; what is missing or broken in it costs its own part of the page a note.
        embed: Bytes of the page that films may take; all others are found beside it.

    Returns:
        Path of ``index.html``. Readers see the old page or the new one, never a half.

    Raises:
        OSError: The page cannot be written.
    """
    page = run_dir / PAGE
    drafts = [run_dir / f".{PAGE}.{secrets.token_hex(4)}.tmp" for _ in range(2)]
    try:
        with drafts[0].open("w+b") as jobs, drafts[1].open("wb") as whole:
            _write(run_dir, jobs, whole, embed)
        os.replace(drafts[1], page)
    finally:
        for draft in drafts:
            with contextlib.suppress(OSError):
                draft.unlink()
    return page


def _encoded(text: str) -> bytes:
    # JSON may hold halves of characters, which no file in UTF-8 can: they are shown as what they are.
    return text.encode("utf-8", "backslashreplace")


def _write(run_dir: Path, sections: IO[bytes], page: IO[bytes], embed: int) -> None:
    """Write the jobs' sections, which the top must come before: it counts them."""
    data, manifest, notes = raw_manifest(run_dir)
    films = Films(run_dir)
    if embed:
        films.embedded, said = embedded(stored_jobs(run_dir, manifest), films, embed)
        notes = [*notes, said]
    rows, sizes = [], []
    options = data.get("options")
    for job in stored_jobs(run_dir, manifest, options if isinstance(options, dict) else {}):
        rows.append(JobRow.of(job))
        sizes.append(sections.write(_encoded(job_section(job, films, data))))
    table = JobsTable.of(rows)
    head = RunHead.of(run_dir.name, data, manifest, table, notes)
    page.write(_encoded(render("run.html", head=head, table=table, inline=Inline.of(STYLES, SCRIPTS))))
    sections.seek(0)
    is_large = sum(sizes) > LARGEST and not embed
    for size in sizes:
        section = sections.read(size)
        page.write(packed(section) if is_large else section)
    page.write(b"</main>\n")
