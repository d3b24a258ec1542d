"""What pytest-html shows of a job: a table of its metrics, films, and a link to the page of the run."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pytest_arena.options import settings
from pytest_arena.records.page_address import PAGE
from pytest_arena.records.schema import JobRecord
from pytest_arena.reports.films_of_failures import films_to_show
from pytest_arena.reports.job_outcomes import reasons
from pytest_arena.reports.reported_job import ReportedJobs
from pytest_arena.reports.warn import warn

FILMS = 12
"""Films of a job at most."""
EMBEDDED_BYTES = 2 * 1024 * 1024
"""A larger film is not put into a report that is one file."""


class HtmlExtras:
    """Plugin of the process that reports: puts extras on jobs' reports before pytest-html reads them."""

    def __init__(self, config: pytest.Config, run_dir: Path) -> None:
        """Show the jobs of *run_dir* in the report that *config* asks for."""
        self._config, self._run_dir = config, run_dir
        self._jobs = ReportedJobs(run_dir)
        path = Path(os.path.expandvars(config.getoption("htmlpath"))).expanduser()
        self._folder = Path(config.invocation_params.dir, path).parent

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add a job's extras to the report that tells its outcome."""
        record = self._jobs.newly_in(report)
        if record is None:
            return
        try:
            added = [*self._extras(record)]
        except Exception as error:
            warn(self._config, f"pytest-html shows nothing of {record.job}: {type(error).__name__}: {error}")
            return
        report.extras = [*getattr(report, "extras", []), *added]  # type: ignore[attr-defined]

    def _extras(self, record: JobRecord) -> Iterator[dict[str, Any]]:
        from pytest_html import extras

        yield extras.html(metrics_table(record))
        if settings(self._config).html:
            folder = Path(str(record.record_path)).parent
            yield extras.url(f"{self._link(self._run_dir / PAGE)}#{quote(str(folder))}", name="page")
        embedded = self._config.getoption("self_contained_html", False)
        for what, film in films_to_show(self._run_dir, record, FILMS):
            if not embedded:
                yield extras.mp4(self._link(film), name=what)
            elif film.stat().st_size <= EMBEDDED_BYTES:
                yield extras.mp4(base64.b64encode(film.read_bytes()).decode(), name=what)

    def _link(self, path: Path) -> str:
        return quote(Path(os.path.relpath(path, self._folder)).as_posix())


def metrics_table(record: JobRecord) -> str:
    """Return a job's metrics as a table of HTML, with intervals and thresholds, and why it is no pass."""
    expected: dict[str, list[str]] = {}
    for threshold in record.thresholds:
        mark = "✓" if threshold.passed else "✗"
        expected.setdefault(threshold.metric, []).append(f"{mark} {threshold.expression}")
    rows = ["<tr><th>metric</th><th>value</th><th>interval</th><th>threshold</th></tr>"]
    for name in dict.fromkeys([*record.metrics, *expected]):
        value, interval = record.metrics.get(name), record.intervals.get(name)
        cells = (
            name,
            "-" if value is None else f"{value:.4g}",
            "" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}",
            ", ".join(expected.get(name, [])),
        )
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    said = "".join(f"<p>{escape(reason)}</p>" for reason in reasons(record))
    return f"<table>{''.join(rows)}</table>{said}"
