"""What GitHub's runner reads: a file that it names, and lines of the log."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_arena.records.run_directory import RunDirectory
from pytest_arena.reports.github import ANNOTATIONS, SUMMARY_BYTES, annotation_lines, write_summary
from tests.unit.reports.run_of_jobs import write_broken_job, write_job, write_manifest


def run_in(run_dir: Path) -> Any:
    return SimpleNamespace(directory=RunDirectory(run_dir), suite=[], troubles=list)


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the runner names."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    return tmp_path / "summary.md"


def test_the_summary_follows_what_others_wrote(summary: Path, tmp_path: Path) -> None:
    write_job(tmp_path / "run", "job", [True])
    write_manifest(tmp_path / "run", ["job"])
    summary.write_text("coverage: 81 %")
    write_summary(run_in(tmp_path / "run"), set(), 0, tmp_path)
    lines = summary.read_text().splitlines()
    assert lines[:2] == ["coverage: 81 %", "## ✅ arena, 1 job: 1 passed"]
    assert any("<code>run</code>" in line for line in lines)


def test_the_file_stays_below_its_limit(summary: Path, tmp_path: Path) -> None:
    for k in range(20):
        write_job(tmp_path / "run", f"job{k}", [False] * 5)
    write_manifest(tmp_path / "run", [f"job{k}" for k in range(20)])
    summary.write_text("x" * (SUMMARY_BYTES - 3_000))
    write_summary(run_in(tmp_path / "run"), set(), 1, tmp_path)
    assert SUMMARY_BYTES - 500 < summary.stat().st_size <= SUMMARY_BYTES
    assert "The summary is cut here" in summary.read_text()
    before = summary.read_text()
    with pytest.raises(OSError, match="no room"):
        write_summary(run_in(tmp_path / "run"), set(), 1, tmp_path)
    assert summary.read_text() == before


def test_nothing_is_written_where_nothing_is_asked_for_or_to_be_told(
    summary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_manifest(tmp_path, ["job"])
    write_summary(run_in(tmp_path), set(), 0, tmp_path)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "")
    monkeypatch.setenv("GITHUB_ACTIONS", "")
    write_summary(run_in(tmp_path), set(), 1, tmp_path)
    assert annotation_lines(run_in(tmp_path), set(), tmp_path) == []
    assert not summary.exists()


def test_an_annotation_stands_at_the_line_of_its_job(summary: Path, tmp_path: Path) -> None:
    run_dir, started_in = tmp_path / "run", tmp_path / "robots"
    write_broken_job(run_dir, "job", "100%, done:\r\nno::error::x")
    gate = {"gate": {"episodes_max": 4, "inconclusive": "pass"}, "thresholds": {"success_rate": ">= 0.5"}}
    write_job(run_dir, "lax", [True, False] * 2, job=gate)
    odd = {"nodeid": "x", "config": {}, "file": str(tmp_path / "a,b:c%.yaml"), "line": 7}
    write_broken_job(run_dir, "odd", "boom")
    write_manifest(run_dir, ["good", "job", "lax"], odd=odd)
    error, at_odd, never, warning = annotation_lines(run_in(run_dir), set(), started_in)
    assert error == (
        "::error file=robots/jobs.yaml,line=2,title=job%3A error::ValueError: 100%25, done: no::error::x"
    )
    assert at_odd == "::error file=a%2Cb%3Ac%25.yaml,line=7,title=odd%3A error::ValueError: boom"
    assert never == "::error file=robots/jobs.yaml,line=1,title=good%3A never ran::it has no record"
    assert warning.startswith(
        "::warning file=robots/jobs.yaml,line=3,title=lax%3A inconclusive::? success_rate"
    )
    assert warning.count("%0A") == 3
    assert "\n" not in warning


def test_a_file_outside_of_the_checkout_keeps_its_path(
    summary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "checkout"))
    write_manifest(
        tmp_path, ["job"], away={"nodeid": "x", "config": {}, "file": "/jobs/away.yaml", "line": 1}
    )
    here, away = annotation_lines(run_in(tmp_path), set(), tmp_path / "started")
    assert here.startswith("::error file=jobs.yaml,line=1,")
    assert away.startswith("::error file=/jobs/away.yaml,line=1,")


def test_of_many_failures_the_last_annotation_tells_how_many_more_there_are(
    summary: Path, tmp_path: Path
) -> None:
    write_manifest(tmp_path, [f"job{k}" for k in range(ANNOTATIONS + 1)])
    write_broken_job(tmp_path, "job10", "the worst")
    lines = annotation_lines(run_in(tmp_path), set(), tmp_path)
    assert len(lines) == ANNOTATIONS
    assert "title=job10%3A error" in lines[0]
    assert lines[-1].endswith("it has no record%0A… and 1 more job: the summary of the step lists them")
