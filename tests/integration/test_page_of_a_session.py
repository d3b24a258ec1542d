"""``index.html`` at the end of sessions of all kinds."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Suite, parse
from tests.unit.reports.html.table_rows import ShownTable

TRAP = "tests.registered:arena/Trap-v0"
GOOD = {"thresholds": {"episode_length": "<= 99"}}


def trap(kind: str, **settings: Any) -> dict[str, Any]:
    return {**GOOD, "environment": {"id": TRAP, "options": {"make": {"trap": kind, **settings}}}}


def verdicts(suite: Suite) -> dict[str, str]:
    """Return what the page says of each job."""
    page = (suite.run_dir / "index.html").read_text()
    assert page.rstrip().endswith("</main>")
    assert not list(suite.run_dir.glob(".*.tmp"))
    return {row.name.split()[0]: row.cells[1].rstrip(" *") for row in ShownTable(page).rows}


def pages(suite: Suite) -> list[Path]:
    return sorted((suite.path / "arena-results").glob("2*/index.html"))


def test_failures_and_a_dead_worker(suite: Suite) -> None:
    bad = {"thresholds": {"episode_length": "<= 1"}}
    suite.jobs({"good": GOOD, "bad": bad, "broken": trap("raise"), "dead": trap("SIGKILL", episode=1)})
    suite.test()
    result = suite.run("-n", "2")
    assert result.ret == 1
    assert verdicts(suite) == {"dead": "crashed", "broken": "error", "bad": "fail", "good": "pass"}
    page = (suite.run_dir / "index.html").read_text()
    assert "the simulator broke" in page
    assert 'id="dead/episode-0"' in page, "it had finished"


def test_an_interrupt_and_the_resumed_whole(suite: Suite) -> None:
    once = suite.path / "once"
    suite.jobs({"good": GOOD, "cut": trap("SIGINT", episode=1, once=str(once)), "late": trap("closed")})
    suite.test()
    assert suite.run().ret == pytest.ExitCode.INTERRUPTED
    assert verdicts(suite) == {"cut": "interrupted", "late": "never ran", "good": "pass"}
    assert suite.run("--arena-resume", str(suite.run_dir)).ret == 0
    assert len(suite.run_dirs) == 1
    assert verdicts(suite) == {"cut": "pass", "late": "pass", "good": "pass"}


def test_a_resumed_run_keeps_no_page_of_before(suite: Suite) -> None:
    """It would say that a job never ran, which has failed since."""
    once = suite.path / "once"
    bad = {"thresholds": {"episode_length": "<= 1"}}
    suite.jobs({"cut": trap("SIGINT", episode=1, once=str(once)), "bad": bad})
    suite.test()
    assert suite.run().ret == pytest.ExitCode.INTERRUPTED
    assert verdicts(suite)["bad"] == "never ran"
    assert suite.run("--arena-resume", str(suite.run_dir), "--arena-html", "off").ret == 1
    assert pages(suite) == []


def test_a_killed_session_is_made_a_page_later(suite: Suite) -> None:
    suite.jobs({"good": GOOD, "cut": trap("SIGKILL", episode=1)})
    suite.test()
    assert suite.run().ret == -signal.SIGKILL
    assert pages(suite) == []
    again = suite.pytester.run(sys.executable, "-m", "pytest_arena", "report", str(suite.run_dir))
    assert again.ret == 0
    assert again.outlines == [str(suite.run_dir / "index.html")]
    assert verdicts(suite) == {"cut": "running", "good": "pass"}


@pytest.mark.parametrize("arguments", [(), ("-p", "no:terminal"), ("-n", "1"), ("-x",)])
def test_there_is_a_page(suite: Suite, arguments: tuple[str, ...]) -> None:
    suite.jobs({"good": GOOD})
    suite.test()
    assert suite.run(*arguments).ret == 0
    assert verdicts(suite) == {"good": "pass"}


def test_it_can_be_turned_off(suite: Suite) -> None:
    suite.jobs({"good": GOOD})
    suite.test()
    assert suite.run("--arena-html", "off").ret == 0
    suite.pytester.makeini("[pytest]\narena_html = off")
    assert suite.run().ret == 0
    assert pages(suite) == []
    assert suite.run("--arena-html", "on").ret == 0
    assert len(pages(suite)) == 1
    suite.pytester.makeini("[pytest]\narena_html = maybe")
    refused = suite.run()
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["*arena_html: expected one of*'maybe'*"])


@pytest.mark.parametrize("argument", ["--co", "--setup-plan", "--fixtures"])
def test_a_session_that_runs_nothing_has_none(suite: Suite, argument: str) -> None:
    suite.jobs({"good": GOOD})
    suite.test()
    assert suite.run(argument).ret == 0
    assert not (suite.path / "arena-results").exists()


def test_that_of_a_collection_that_fails_says_that_nothing_ran(suite: Suite) -> None:
    suite.jobs({"good": GOOD})
    suite.test()
    suite.pytester.makepyfile(test_broken="import nothing_of_this_name")
    assert suite.run().ret == pytest.ExitCode.INTERRUPTED
    assert verdicts(suite) == {"good": "never ran"}


UNWRITTEN = {
    "a folder of its name": (
        "(arena_run_dir / 'index.html').mkdir()",
        "index.html could not be written: Is a directory",
    ),
    "a defect of ours": (
        "from pytest_arena.reports.html import run_page; run_page._write = None",
        "index.html could not be made: TypeError: * pytest_arena report * shows where",
    ),
    "somebody who does not wait": (
        "import signal; from pytest_arena.reports.html import run_page; "
        "run_page._write = lambda *_: signal.raise_signal(signal.SIGINT)",
        "index.html could not be made: interrupted; * pytest_arena report * makes it",
    ),
}


@pytest.mark.parametrize("way", UNWRITTEN)
def test_a_page_that_cannot_be_written_costs_one_line(suite: Suite, way: str) -> None:
    code, line = UNWRITTEN[way]
    suite.jobs({"good": GOOD})
    suite.test()
    suite.pytester.makeconftest(
        f"import pytest\n@pytest.fixture(autouse=True)\ndef broken(arena_run_dir):\n    {code}\n"
    )
    result = suite.run()
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"*{line}*"])
    assert result.stdout.str().count("index.html could not") == 1
    assert suite.outcomes() == {"good": "passed"}
    manifest = parse((suite.run_dir / "run.json").read_text())
    assert (manifest["exit_status"], manifest["troubles"]) == (0, [])
    assert (suite.run_dir / "metrics.json").exists()
    assert not list(suite.run_dir.glob(".*.tmp"))


def test_a_page_on_a_full_disk_costs_one_line(suite: Suite, small_disk: Path) -> None:
    suite.jobs({"good": GOOD})
    suite.test()
    # All that is left to the page is less than its style and script.
    suite.pytester.makeconftest(
        f"""
        import os
        from pathlib import Path
        from pytest_arena.reports.html import run_page

        write = run_page.write_run_page

        def write_on_a_full_disk(run_dir):
            left = os.statvfs(run_dir).f_bavail * os.statvfs(run_dir).f_frsize
            filler = Path({str(small_disk)!r}) / "filler"
            filler.write_bytes(bytes(max(0, left - 16384)))
            try:
                return write(run_dir)
            finally:
                filler.unlink()

        run_page.write_run_page = write_on_a_full_disk
        """
    )
    result = suite.run("--arena-output", str(small_disk / "runs"))
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*index.html could not be written: No space left on device*"])
    (run,) = (path for path in (small_disk / "runs").iterdir() if path.is_dir())
    assert (run / "report.json").exists()
    assert not (run / "index.html").exists()
    assert not list(run.glob(".*.tmp"))
