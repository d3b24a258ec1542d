"""The history of many runs: how long it takes to read them, and to write their page.

    python -m benchmarks.history [RUNS] [JOBS]

The runs are made up, with records as large as those of jobs with 20 episodes. They are read without an index,
then with it, and the page is written; then one run is added, which is what the end of a session finds. The
files are in the page cache. Exit status 1 where the target is missed: 5 s, each time.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pytest_arena.records.run_index import INDEX, read_runs
from pytest_arena.reports.html.history_page import write_history
from tests.made_up_runs import made_up_job, make_up_run

TARGET = 5.0
"""Seconds."""


def add_run(results: Path, number: int, jobs: int) -> None:
    """Write one of a series of runs, six hours apart; every tenth changes the configuration of the jobs."""
    draws = random.Random(number)
    at = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=6 * number)
    policy = {"checkpoint": f"{number // 7:064x}"}
    made = [
        made_up_job(
            f"job-{job}",
            round(min(1.0, max(0.0, draws.gauss(0.5 + job / 2 / jobs, 0.1))), 3),
            policy_files=policy,
            environment={"id": "CartPole-v1", "seed": number // 10},
        )
        for job in range(jobs)
    ]
    run = make_up_run(results, f"{at:%Y%m%dT%H%M%SZ}-{number % 0x10000:04x}", made)
    (run / "index.html").write_text("the page of the run")


def seconds(call: Callable[[Path], object], results: Path) -> tuple[float, float]:
    """Return how long *call* takes, and how much of that its process computes."""
    started, computed = time.perf_counter(), time.process_time()
    call(results)
    return time.perf_counter() - started, time.process_time() - computed


def main(runs: int = 1000, jobs: int = 10) -> int:
    """Print the table; returns the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "arena-results"
        for number in range(runs):
            add_run(results, number, jobs)
        took = {
            "read, without an index": seconds(read_runs, results),
            "read, with the index": seconds(read_runs, results),
            "read, and the page written": seconds(write_history, results),
        }
        add_run(results, runs, jobs)
        took["the same after one more run"] = seconds(write_history, results)
        print(f"{runs} runs of {jobs} jobs; target {TARGET:g} s\n")
        for what, (wall, cpu) in took.items():
            print(f"{what:30} {wall:6.2f} s, CPU {cpu:6.2f} s")
        for name in (INDEX, "index.html"):
            print(f"{name:30} {(results / name).stat().st_size / 1e6:6.2f} MB")
    return int(max(wall for wall, _ in took.values()) > TARGET)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
