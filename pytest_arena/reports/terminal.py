"""The terminal summary: one row a job."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_arena.comparison.describe import describe_comparison
from pytest_arena.gate.describe import UNDECIDED, describe_intervals, describe_rate_test
from pytest_arena.options import settings
from pytest_arena.records.page_address import PAGE
from pytest_arena.records.schema import ComparisonVerdict, JobRecord, Status, Verdict
from pytest_arena.reports.failure_addresses import address_lines, failed
from pytest_arena.reports.job_outcomes import episodes_text, success_text, time_text
from pytest_arena.reports.reported_run import ReportedRun

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

HEADINGS = ("job", "episodes", "success [interval]", "verdict", "time", "folder")


def announcement(config: pytest.Config, run: ReportedRun, jobs: int) -> str:
    """Return the line after collection that says where results go.

    Args:
        config: Its directories decide how the path is written.
        run: The session's run.
        jobs: How many of the collected tests evaluate a job.

    Returns:
        The line, without a line break.
    """
    return f"arena: {jobs} job{'' if jobs == 1 else 's'}, results in {_shown(config, run)}"


def summarize(reporter: TerminalReporter, config: pytest.Config, run: ReportedRun, exit_status: int) -> None:
    """Print the table of jobs, their notes, where the results are, and how an interrupted run goes on.

    Nothing is printed where there are no records, no troubles and no verdicts over several jobs.

    Args:
        reporter: pytest's terminal reporter.
        config: Its directories decide how the path of the results is written.
        run: The session's run, whose records are read from disk.
        exit_status: The session's, as pytest gives it: INTERRUPTED adds the line on how to go on.
    """
    directory, troubles = run.directory, run.troubles()
    records = list(directory.records())
    if not records and not troubles and not run.suite:
        return
    reporter.write_sep("=", "arena")
    rows = [_row(record) for record in records]
    # Of several attempts at a job a note is said with each: it is shared by jobs, not by attempts.
    said = dict.fromkeys((record.job, note) for record in records for note in _remarks(record))
    shared = Counter(note for _, note in said)
    widths = [max(len(row[column]) for row in (HEADINGS, *rows)) for column in range(len(HEADINGS))]
    reporter.write_line(_line(HEADINGS, widths), bold=True)
    for record, row in zip(records, rows, strict=True):
        colour = _colour(record)
        reporter.write_line(_line(row, widths), **{colour: True})
        for line in _decisions(record):
            reporter.write_line(f"  {line}", **{colour: True})
        for note in _remarks(record):
            if shared[note] == 1:
                reporter.write_line(f"  {note}", yellow=True)
    for note, count in shared.items():
        if count > 1:
            reporter.write_line(f"in {count} jobs: {note}", yellow=True)
    for text, holds in run.suite:
        reporter.write_line(text, green=holds is True, red=holds is False, yellow=holds is None)
    if any(_undecided(record) for record in records):
        reporter.write_line(UNDECIDED)
    for line in describe_intervals([not record.fixed for record in records if _has_interval(record)]):
        reporter.write_line(line)
    for text in troubles:
        reporter.write_line(text, red=True, bold=not text.startswith(" "))
    reporter.write_line(f"results: {_shown(config, run)}")
    if settings(config).html and (directory.path / PAGE).is_file():
        for line in address_lines(records, directory.path, _shown(config, run)):
            reporter.write_line(line)
    if exit_status == pytest.ExitCode.INTERRUPTED:
        reporter.write_line(f"the same command with --arena-resume {_shown(config, run)} goes on")


def _row(record: JobRecord) -> tuple[str, ...]:
    name = record.job if record.attempt == 1 else f"{record.job}.{record.attempt}"
    return (
        name,
        episodes_text(record),
        success_text(record),
        _verdict(record),
        time_text(record),
        str(Path(record.record_path or "").parent),
    )


def _colour(record: JobRecord) -> str:
    if failed(record):
        return "red"
    return "yellow" if record.verdict is Verdict.INCONCLUSIVE else "green"


def _decisions(record: JobRecord) -> Iterable[str]:
    if record.gate is not None and record.status == Status.COMPLETED:
        yield from (describe_rate_test(record.gate, test) for test in record.gate.tests)
    compared = record.comparison
    # One that was not made is a remark, for many jobs may share it.
    if compared is not None and compared.verdict is not ComparisonVerdict.NOT_JUDGED:
        yield describe_comparison(compared)


def _verdict(record: JobRecord) -> str:
    if record.status != Status.COMPLETED:
        return str(record.status)
    return f"{record.verdict}{' *' if _undecided(record) else ''}"


def _undecided(record: JobRecord) -> bool:
    return record.status == Status.COMPLETED and any(t.undecided for t in record.thresholds)


def _has_interval(record: JobRecord) -> bool:
    return record.metrics.get("success_rate") is not None and "success_rate" in record.intervals


def _remarks(record: JobRecord) -> Iterable[str]:
    yield from record.notes
    compared = record.comparison
    if compared is not None and compared.verdict == ComparisonVerdict.NOT_JUDGED:
        yield f"regression of {compared.metric} is not judged: {compared.reason}"
    if record.status != Status.COMPLETED and record.error is not None:
        yield f"{record.error['type']}: {record.error['message'].partition(chr(10))[0]}"


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _shown(config: pytest.Config, run: ReportedRun) -> str:
    """Return the run directory as seen from where pytest was started, wherever tests have gone since."""
    path = run.directory.path
    relative = os.path.relpath(path, config.invocation_params.dir)
    return str(path) if relative.startswith("..") else relative
