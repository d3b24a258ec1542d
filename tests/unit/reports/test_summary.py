"""The summary in Markdown: what it says, that it fits, and that foreign text stays text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pytest_arena.records.schema import Comparison, ComparisonVerdict
from pytest_arena.reports.job_outcomes import job_outcomes
from pytest_arena.reports.summary import EPISODES_SHOWN, FAILURES_SHOWN, JOBS_SHOWN, Session, session_summary
from tests.unit.gate.samples import episode
from tests.unit.reports.run_of_jobs import write_broken_job, write_job, write_manifest
from tests.unit.reports.test_markdown import HOSTILE, rendered

MIB = 1024 * 1024


def session_of(run_dir: Path, jobs: Iterable[str], failed: Iterable[str], **changes: Any) -> Session:
    manifest = write_manifest(run_dir, [*jobs])
    outcomes = job_outcomes(run_dir, manifest, {f"jobs.yaml::rollout[{name}]" for name in failed})
    return Session(run_dir, "arena-results/a-run", outcomes, **{"exit_status": 1, **changes})


def test_what_it_says_of_a_run_with_a_failure(tmp_path: Path) -> None:
    (tmp_path / "index.html").touch()
    write_job(tmp_path, "good", [True] * 4)
    film = {"videos": {"front": "bad/videos/episode-0001.mp4"}}
    write_job(tmp_path, "bad", [], episodes=[episode(0), episode(1, False, **film)])
    page = rendered(session_summary(session_of(tmp_path, ["good", "bad"], ["bad"]), MIB))
    words = " ".join(page.text.split())
    assert words.startswith(
        "❌ arena, 2 jobs: 1 failed, 1 passed Exit status 1: tests failed. Films and records are in the folder "
        "arena-results/a-run of this run's artifact: open its index.html."
    )
    assert "❌ bad fail 50.0% [9.5%, 90.5%] ✗ success_rate = 0.5, expected >= 0.9 2/2 12.3 s" in words
    assert "✅ good pass 100.0% [51.0%, 100.0%] ✓ success_rate = 1, expected >= 0.9 4/4 12.3 s" in words
    assert words.index("❌ bad") < words.index("✅ good")
    assert "in the page: index.html#bad" in words
    assert words.endswith("1 101 failure, time_out 10 1 bad/videos/episode-0001.mp4")


def test_a_run_that_succeeds_has_no_failures_and_a_page_that_is_missing_is_not_named(tmp_path: Path) -> None:
    write_job(tmp_path, "good", [True] * 4)
    text = session_summary(session_of(tmp_path, ["good"], [], exit_status=0), MIB)
    assert text.startswith("## ✅ arena, 1 job: 1 passed\n\nExit status 0: success.")
    assert "###" not in text
    assert "index.html" not in text


def test_a_part_of_a_job_is_said_to_be_one(tmp_path: Path) -> None:
    """Its rate is that of the episodes which somebody chose."""
    write_job(tmp_path, "good", [True], only=[3], job={"thresholds": {}})
    words = " ".join(
        rendered(session_summary(session_of(tmp_path, ["good"], [], exit_status=0), MIB)).text.split()
    )
    assert "➖ good, episodes 3 only none 100.0%" in words


def test_comparisons_have_a_column_where_there_are_any(tmp_path: Path) -> None:
    comparison = Comparison(
        "success_rate", ComparisonVerdict.REGRESSION, rate=True, value=0.5, baseline_value=0.9
    )
    comparison.difference, comparison.interval, comparison.failed = -0.4, (-0.6, -0.2), True
    comparison.paired, comparison.pairs = True, 2
    write_job(tmp_path, "job", [True, False], comparison=comparison)
    text = rendered(session_summary(session_of(tmp_path, ["job"], ["job"]), MIB)).text
    assert "against the baseline" in text
    assert "regression: 90.0% before, 50.0% now, -40.0 points (95% interval -60.0 to -20.0)" in text
    assert "against the baseline: regression; 90.0% before, 50.0% now" in text
    assert "-20.0); neither worse nor better is shown" in text


def test_verdicts_over_several_jobs_and_troubles_are_told(tmp_path: Path) -> None:
    write_job(tmp_path, "job", [True])
    session = session_of(
        tmp_path,
        ["job"],
        [],
        exit_status=3,
        verdicts=[("group ready: fail", False), ("no verdict on x", None)],
        troubles=["1 test never ran to the end:", "  x", *(f"trouble {k}\n  at" for k in range(30))],
    )
    words = " ".join(rendered(session_summary(session, MIB)).text.split())
    assert "❌ group ready: fail ⚠️ no verdict on x ❌ 1 test never ran to the end: ❌ x" in words
    assert "trouble 17 … and 12 more lines in the log" in words


def test_names_and_messages_are_text(tmp_path: Path) -> None:
    write_broken_job(tmp_path / "plain", "job", "boom")
    plain = session_of(tmp_path / "plain", ["job"], ["job"])
    tags = rendered(session_summary(plain, MIB)).tags
    for number, text in enumerate(HOSTILE):
        run = tmp_path / str(number)
        write_broken_job(run, "job", f"{text}\n\n# heading\n| a |\n::error::no")
        page = rendered(session_summary(session_of(run, ["job"], ["job"]), MIB))
        assert f"{text} # heading | a | ::error::no" in page.text
        assert page.tags == tags


def test_long_lists_are_cut_and_say_so(tmp_path: Path) -> None:
    jobs = [f"job{k:03}" for k in range(JOBS_SHOWN + 40)]
    for name in jobs[: FAILURES_SHOWN + 3]:
        write_job(tmp_path, name, [False] * (EPISODES_SHOWN + 2))
    page = rendered(session_summary(session_of(tmp_path, jobs, jobs[: FAILURES_SHOWN + 3]), MIB))
    assert "… and 40 more jobs: 40 jobs: 40 failed." in page.text
    assert "… and 3 more jobs that failed" in page.text
    assert page.text.count("… and 2 more episodes in ") == FAILURES_SHOWN


def test_it_fits_where_little_room_is_left_and_says_that_it_is_cut(tmp_path: Path) -> None:
    jobs = [f"job{k}" for k in range(30)]
    for name in jobs:
        write_broken_job(tmp_path, name, "ä" * 50)
    session = session_of(tmp_path, jobs, jobs)
    whole = session_summary(session, MIB)
    for room in range(0, len(whole.encode()) + 100, 97):
        text = session_summary(session, room)
        assert len(text.encode()) <= room
        assert not text or text == whole or "The summary is cut here" in text.splitlines()[-1]
    assert session_summary(session, 0) == ""
    assert session_summary(session, len(whole.encode()) + 200) == whole
