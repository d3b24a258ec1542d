"""The page of a run: how large it is, how long it takes to write and to open, and what memory that needs.

    python benchmarks/pages.py [JOBS [EPISODES]]

A made-up run of 3,000 jobs with 100,000 episodes, written and judged by the real code: a fifth of the jobs
have films, a tenth a gate, a tenth a comparison. Beside it a tenth of that, and one of 10 jobs. The page is
written by a process of its own, after the steps of a session's end that read all records too; seconds are
of the clock, and those of the processor behind them, for other processes may want the same cores. Chromium
opens the page from the file system. Timed is what a person waits for: from the navigation to a table that a
search has filtered, and from a click to the episodes of a job.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.browser import FLAGS
from tests.synthetic_runs import write_run

ROUNDS = 3


USABLE = 2.0
"""Seconds."""


@dataclass(frozen=True)
class Goal:
    """What must hold, of one size of run."""

    bytes: int
    seconds: float


LARGE, SMALL = Goal(20_000_000, 10.0), Goal(300_000, 0.5)
FILTERED = """() => [...document.querySelectorAll("table.jobs tbody tr")]
    .filter(row => row.checkVisibility()).every(row => row.textContent.includes("reach-7"))"""
HEAD = """\
| run | page | written in | other steps of the end | memory | until a search filters | until a job is open |
|---|---|---|---|---|---|---|"""


def main(jobs: int, episodes: int) -> int:
    """Print the figures; returns 1 if a goal is missed."""
    folder, good = Path(tempfile.mkdtemp(prefix="arena-pages-")), True
    print(HEAD, flush=True)
    try:
        for number, goal in ((jobs, LARGE), (jobs // 10, LARGE), (10, SMALL)):
            run = write_run(folder / str(number), range(number), max(1, round(episodes / jobs)))
            good = report(f"{number:,} jobs", run, goal) and good
    finally:
        shutil.rmtree(folder)
    print("\nall goals met" if good else "\na goal was MISSED")
    return 0 if good else 1


def report(what: str, run: Path, goal: Goal) -> bool:
    """Measure the page of *run*, print a row, and return whether it is within *goal*."""
    told = [written(run) for _ in range(ROUNDS)]
    seconds, cpu = min(one["page"] for one in told)
    end, end_cpu = min(one["end"] for one in told)
    memory = min(one["peak"] - one["before"] for one in told)
    size = (run / "index.html").stat().st_size
    shown, opened = min(in_chromium(run / "index.html") for _ in range(ROUNDS))
    episodes = sum(path.read_bytes().count(b"\n") for path in run.glob("*/episodes.jsonl"))
    print(
        f"| {what}, {episodes:,} episodes | {size / 1e6:.2f} MB | {seconds:.2f} s ({cpu:.2f}) "
        f"| {end:.2f} s ({end_cpu:.2f}) | {memory / 1024:.0f} MiB | {shown:.2f} s | {opened:.2f} s |",
        flush=True,
    )
    return size < goal.bytes and seconds < goal.seconds and max(shown, opened) < USABLE


def written(run: Path) -> dict[str, Any]:
    """Write the page of *run* in a process of its own; return what it measured."""
    command = [sys.executable, __file__, "--write", str(run)]
    told: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return told


def write(run: Path) -> None:
    """Do what a session's end does with the records of *run*, then write its page; print seconds and KiB."""
    from pytest_arena import RunDirectory
    from pytest_arena.evaluation.metrics_json import metrics_of
    from pytest_arena.records.files import write_json
    from pytest_arena.reports.html.run_page import write_run_page

    directory = RunDirectory(run)

    def end() -> None:
        directory.records()  # those that were cut off
        directory.latest(), directory.manifest()  # what passed without a measurement
        write_json(run / "metrics.json", metrics_of(directory))
        directory.finish_manifest(exit_status=1)

    told: dict[str, Any] = {"end": timed(end), "before": memory()}
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    told["page"] = timed(lambda: write_run_page(run))
    told["peak"] = memory("VmHWM")
    print(json.dumps(told))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of *work*, of the clock and of the processor."""
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - cpu


def memory(what: str = "VmRSS") -> int:
    """Return the memory of this process in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what))


def in_chromium(page: Path) -> tuple[float, float]:
    """Return the seconds until a search of *page* has filtered, and until a job of it is open."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        try:
            tab = chromium.new_page()
            tab.goto("about:blank")

            def search() -> None:
                tab.goto(page.as_uri(), wait_until="commit")
                tab.fill("input[type=search]", "reach-7")
                tab.wait_for_function(FILTERED)

            def open_job() -> None:
                tab.click("table.jobs tbody a[href='#reach-7']")
                tab.wait_for_selector("section.job.open section.episodes button")

            return timed(search)[0], timed(open_job)[0]
        finally:
            chromium.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write(Path(sys.argv[2]))
    else:
        jobs, episodes = (*map(int, sys.argv[1:]), *(3_000, 100_000)[len(sys.argv) - 1 :])
        sys.exit(main(jobs, episodes))
