"""The page of a run: how large it is, how long it takes to write and to open, and what memory that needs.

    python benchmarks/pages.py [JOBS [EPISODES]]

A made-up run of 3,000 jobs with 100,000 episodes, written and judged by the real code: a fifth of the jobs have
films, a tenth a gate, a tenth a comparison. Beside it one of 10 jobs. The page is written by a process of its own,
after the steps of a session's end that read all records too. Chromium opens it from the file system: timed is what
a person waits for, from the navigation to a table that a search has filtered, and from a click to the job's cells.
"""

from __future__ import annotations

import json
import resource
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


@dataclass(frozen=True)
class Goal:
    """What must hold, of one size of run."""

    mebibytes: float
    seconds: float
    usable: float
    """Seconds in the browser."""


LARGE, SMALL = Goal(20e6 / 2**20, 10.0, 2.0), Goal(300e3 / 2**20, 0.5, 2.0)
MEMORY = 1.5
"""Times the memory that a run with a tenth of the jobs needs, beside what the rows and run.json take."""


def main(jobs: int, episodes: int) -> int:
    """Print the figures; returns 1 if a goal is missed."""
    folder = Path(tempfile.mkdtemp(prefix="arena-pages-"))
    good = True
    try:
        each = max(1, round(episodes / jobs))
        for name, number, goal in (
            ("large", jobs, LARGE),
            ("a tenth", jobs // 10, LARGE),
            ("small", 10, SMALL),
        ):
            run = write_run(folder / name, range(number), each)
            met = report(f"{number} jobs, {number * each} episodes", run, goal)
            good = met and good
    finally:
        shutil.rmtree(folder)
    print("all goals met" if good else "a goal was MISSED")
    return 0 if good else 1


def report(what: str, run: Path, goal: Goal) -> bool:
    """Measure the page of *run*, print a row, and return whether it is within *goal*."""
    told = [written(run) for _ in range(ROUNDS)]
    seconds = min(one["page"] for one in told)
    size = (run / "index.html").stat().st_size
    shown, opened = min(in_chromium(run / "index.html") for _ in range(ROUNDS))
    memory = min(one["peak"] - one["before"] for one in told) / 1024
    print(
        f"| {what} | {size / 1e6:.2f} MB | {seconds:.2f} s | {min(one['end'] for one in told):.2f} s | {memory:.0f} MiB "
        f"| {shown:.2f} s | {opened:.2f} s |",
        flush=True,
    )
    return size <= goal.mebibytes * 2**20 and seconds < goal.seconds and max(shown, opened) < goal.usable


def written(run: Path) -> dict[str, float]:
    """Write the page of *run* in a process of its own; return what it measured."""
    done = subprocess.run(
        [sys.executable, __file__, "--write", str(run)], check=True, stdout=subprocess.PIPE, text=True
    )
    told: dict[str, float] = json.loads(done.stdout)
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

    told = {"end": seconds_of(end)}
    told["before"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told["page"] = seconds_of(lambda: write_run_page(run))
    told["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(told))


def seconds_of(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


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
                tab.wait_for_function(
                    "() => [...document.querySelectorAll('#jobs tbody tr')].filter(row => row.checkVisibility())"
                    ".every(row => row.textContent.includes('reach-7'))"
                )

            def open_job() -> None:
                tab.click("#jobs tbody a[href='#reach-7']")
                tab.wait_for_selector("section.job.open section.episodes button")

            return seconds_of(search), seconds_of(open_job)
        finally:
            chromium.close()


def parsed(arguments: list[str]) -> Any:
    if arguments[:1] == ["--write"]:
        return write(Path(arguments[1]))
    numbers = [int(argument) for argument in arguments]
    print(
        "| run | page | written in | other steps of the end | memory | until a search filters | until a job is open |"
    )
    print("|---|---|---|---|---|---|---|")
    return main(*(numbers + [3000, 100_000][len(numbers) :]))


if __name__ == "__main__":
    sys.exit(parsed(sys.argv[1:]))
