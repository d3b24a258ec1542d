"""A film of each failure in JUnit's file, as GitLab shows it: a line in the output of the test.

GitLab takes the first line ``[[ATTACHMENT|path]]`` of a failed test, with a path from the project's folder.
It can read no file with a test that has two ``<system-out>``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from pytest_arena.evaluation.dead_process import job_of_run
from pytest_arena.records.for_reports import scalars
from pytest_arena.reports.films_of_failures import films_to_show
from pytest_arena.reports.paths import below

if TYPE_CHECKING:
    from _pytest.junitxml import LogXML

    from pytest_arena.records.run_directory import RunDirectory
    from pytest_arena.records.schema import JobRecord
    from pytest_arena.reports.reported_run import ReportedRun

_Parts = ET.Element | list[ET.Element]
"""The elements of a test: in an element, or not yet."""
_END = "]]"
"""Ends the line: a path that contains it cannot be named."""


def attach_films(config: pytest.Config, run: ReportedRun) -> None:
    """Name a film of each failed job in JUnit's file, which pytest is about to write; else do nothing.

    Args:
        config: The session's, of the process that reports.
        run: The session's run, whose records are read from disk.
    """
    if not config.getoption("xmlpath", None):
        return
    from _pytest.junitxml import xml_key

    xml = config.stash.get(xml_key, None)
    if xml is None:
        return
    project = Path(os.environ.get("CI_PROJECT_DIR") or config.invocation_params.dir)
    for test, record in _failed_tests(xml, run.directory):
        for _, film in films_to_show(run.directory.path, record, 1):
            path = below(film, project)
            if path is not None and _END not in path:
                _say(test, f"[[ATTACHMENT|{path}]]")


def _failed_tests(xml: LogXML, run: RunDirectory) -> Iterator[tuple[_Parts, JobRecord]]:
    """Yield the parts of each failed test of a job, to be changed in place, and its record."""
    records = run.records()
    by_path = {str(record.record_path): record for record in records}
    by_test = {str(record.nodeid): record for record in records}
    for reporter in xml.node_reporters_ordered:
        nodeid = getattr(reporter, "id", None)  # pytest forgets it when a test is torn down
        if nodeid is None:
            test = reporter.to_xml()
            found = by_path.get(_record_path(test))
            parts: _Parts = test
        else:
            found, parts = by_test.get(str(nodeid)), reporter.nodes
            if found is not None and not reporter.properties:
                # Its worker died, and without a teardown pytest drops the properties of its report.
                for name, value in scalars(found, job_of_run(run, found.job)):
                    reporter.add_property(name, value)
        if found is not None and any(part.tag in ("failure", "error") for part in parts):
            yield parts, found


def _record_path(test: ET.Element) -> str:
    record = test.find("properties/property[@name='arena_record']")
    return "" if record is None else record.get("value", "")


def _say(test: _Parts, line: str) -> None:
    """Add *line* to the output of a test, of which there is one at most."""
    output = next((part for part in test if part.tag == "system-out"), None)
    if output is None:
        output = ET.Element("system-out")
        test.append(output)
    output.text = f"{output.text}\n{line}" if output.text else line
