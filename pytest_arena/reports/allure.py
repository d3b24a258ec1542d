"""What Allure shows of a job: its metrics as JSON, and films, attached to its test."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from pytest_arena.options import settings
from pytest_arena.records.page_address import PAGE
from pytest_arena.records.schema import JobRecord
from pytest_arena.records.to_plain import to_plain
from pytest_arena.reports.films_of_failures import films_to_show
from pytest_arena.reports.reported_job import ReportedJobs
from pytest_arena.reports.warn import warn

FILMS = 5
"""Films of a job at most: Allure copies each."""
_OUTCOME = ("job", "status", "verdict", "metrics", "intervals", "thresholds", "episodes", "notes")
"""Keys of the record that are attached."""


class AllureAttachments:
    """Plugin of the process that runs tests: there Allure collects what belongs to a test."""

    def __init__(self, config: pytest.Config, run_dir: Path) -> None:
        """Attach the jobs of *run_dir*."""
        self._config, self._run_dir = config, run_dir
        self._jobs = ReportedJobs(run_dir)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach a job's metrics and films when its test has an outcome: it is Allure's current one."""
        report = yield
        record = self._jobs.newly_in(report)
        if record is not None:
            try:
                self._attach(record)
            except Exception as error:
                warn(self._config, f"Allure shows nothing of {record.job}: {type(error).__name__}: {error}")
        return report

    def _attach(self, record: JobRecord) -> None:
        import allure

        attach: Any = allure.attach  # one of its methods has no types

        # Else its value is the whole configuration.
        allure.dynamic.parameter("arena_job", record.job)
        data = record.to_json()
        shown = {key: data[key] for key in _OUTCOME}
        if settings(self._config).html:
            page = os.path.relpath(self._run_dir / PAGE, self._config.invocation_params.dir)
            shown["page"] = f"{page}#{Path(str(record.record_path)).parent}"
        text = json.dumps(to_plain(shown), indent=2, ensure_ascii=False)
        attach(text, name="metrics", attachment_type=allure.attachment_type.JSON)
        for what, film in films_to_show(self._run_dir, record, FILMS):
            attach.file(str(film), name=what, attachment_type=allure.attachment_type.MP4)
