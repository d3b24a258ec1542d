"""Where the run's page shows what failed, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_arena.errors import first_few
from pytest_arena.evaluation.verdict import outcome_of_test
from pytest_arena.records.page_address import PAGE, episode_address, job_address
from pytest_arena.records.run_directory import attempt_folder
from pytest_arena.records.schema import JobRecord, Status, Verdict
from pytest_arena.reports.films_of_failures import missed_episodes

MOST_JOBS = 20
"""Jobs that failed, and are named: the page has them all."""


def failed(record: JobRecord) -> bool:
    """Whether the job keeps its test from success, as far as its record tells."""
    if record.status != Status.COMPLETED or record.verdict in (Verdict.FAIL, Verdict.ERROR):
        return True
    return record.verdict is Verdict.INCONCLUSIVE and outcome_of_test(record) == "fail"


def address_lines(records: Sequence[JobRecord], run_dir: Path, shown: str) -> Iterator[str]:
    """Yield the address of the page, and those of jobs and of first episodes in it that failed.

    Args:
        records: Those of the run, in any order; of several attempts at a job the last one counts.
        run_dir: The run directory, which has the page.
        shown: How its path is written.

    Yields:
        Lines without line breaks.
    """
    yield f"page: {shown}/{PAGE}"
    last = {record.job: record for record in sorted(records, key=lambda record: record.attempt)}
    bad = [record for record in last.values() if failed(record)]
    for record in bad[:MOST_JOBS]:
        folder = attempt_folder(run_dir, record.job, record.attempt).name
        yield f"  failed: {shown}/{job_address(folder)}"
        if missed := [episode.episode for episode in missed_episodes(run_dir, record)]:
            what = "episode" if len(missed) == 1 else "episodes"
            yield f"    {what} {first_few(missed)}: {shown}/{episode_address(folder, missed[0])}"
    if len(bad) > MOST_JOBS:
        yield f"  and {len(bad) - MOST_JOBS} more jobs that failed"
