"""Which jobs and episodes the terminal sends a reader to."""

from __future__ import annotations

from pathlib import Path

from pytest_arena.records.run_directory import attempt_folder, read_record
from pytest_arena.records.schema import JobRecord, Status
from pytest_arena.reports.failure_addresses import MOST_JOBS, address_lines
from tests.unit.reports.run_of_jobs import write_broken_job, write_job


def lines(run_dir: Path, *records: JobRecord) -> list[str]:
    stored = [
        read_record(run_dir / attempt_folder(run_dir, r.job, r.attempt) / "record.json") for r in records
    ]
    return [*address_lines(stored, run_dir, "out/run")]


def test_failures_have_addresses(tmp_path: Path) -> None:
    good = write_job(tmp_path, "good", [True])
    free = write_job(tmp_path, "free", [False], job={"thresholds": {}})
    bad = write_job(tmp_path, "bad", [True, False, True, *[False] * 6])
    one = write_job(tmp_path, "one", [True, False])
    died = write_broken_job(tmp_path, "died", "killed", Status.CRASHED)
    assert lines(tmp_path, good, free, bad, one, died) == [
        "page: out/run/index.html",
        "  failed: out/run/index.html#bad",
        "    episodes 1, 3, 4, 5, 6, …: out/run/index.html#bad/episode-1",
        "  failed: out/run/index.html#one",
        "    episode 1: out/run/index.html#one/episode-1",
        "  failed: out/run/index.html#died",
    ]
    assert lines(tmp_path, good) == ["page: out/run/index.html"]


def test_the_last_attempt_counts(tmp_path: Path) -> None:
    first = write_job(tmp_path, "flaky", [False])
    again = write_job(tmp_path, "flaky", [True], attempt=2)
    assert lines(tmp_path, again, first) == ["page: out/run/index.html"]
    worse = write_job(tmp_path, "flaky", [False], attempt=3)
    assert lines(tmp_path, again, worse, first)[1:] == [
        "  failed: out/run/index.html#flaky.3",
        "    episode 0: out/run/index.html#flaky.3/episode-0",
    ]


def test_of_very_many_the_first_are_named(tmp_path: Path) -> None:
    records = [write_broken_job(tmp_path, f"job{k}", "no") for k in range(MOST_JOBS + 3)]
    found = lines(tmp_path, *records)
    assert len(found) == MOST_JOBS + 2
    assert found[-1] == "  and 3 more jobs that failed"
