"""A session in a workflow of GitHub's: the summary of the step, annotations, and no change of the status."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.conftest import Suite, launch, parse
from tests.integration.test_fault_matrix import AFTER_ITS_SETUP

JOBS = {
    "good": {"thresholds": {"success_rate": ">= 0.1"}},
    "bad": {"thresholds": {"success_rate": ">= 0.95"}},
    "broken": {"policy": {"type": "tests.registered:Broken", "level": None}},
    "parts": {"rollout": {"episodes": 4, "shards": 2}, "thresholds": {"success_rate": ">= 0.99"}},
}


@pytest.fixture
def step(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of a step; the file of its summary."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(suite.path.parent))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(suite.path / "summary.md"))
    return suite.path / "summary.md"


def write_jobs(suite: Suite, *names: str) -> None:
    suite.jobs(
        {name: JOBS[name] for name in names},
        environment={"id": "tests.registered:arena/Skilled-v0"},
        policy={"type": "tests.registered:Skill", "level": 0.5},
    )


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_failures_are_in_the_summary_and_at_their_lines(suite: Suite, step: Path, workers: list[str]) -> None:
    write_jobs(suite, *JOBS)
    step.write_text("of another command\n")
    result = suite.run("--arena-jobs", "jobs.yaml", *workers)
    assert result.ret == 1
    text, folder = step.read_text(), suite.path.name
    assert text.startswith("of another command\n\n## ❌ arena, 4 jobs: 1 with an error, 2 failed, 1 passed\n")
    assert text.count("## ❌ arena") == 1
    assert f"<code>{folder}/arena-results/{suite.run_dir.name}</code>" in text
    seeds = [e["seed"] for e in suite.episodes("bad") if e["outcome"] == "failure"]
    assert seeds
    assert all(f" | {seed} | failure, <code>time_out</code> | " in text for seed in seeds)
    lines = [line for line in result.outlines if line.startswith("::")]
    written = (suite.path / "jobs.yaml").read_text().splitlines()
    place = {name: written.index(f"  {name}:") + 1 for name in JOBS}
    assert [line.partition("::✗")[0].partition("::ValueError")[0] for line in lines] == [
        f"::error file={folder}/jobs.yaml,line={place['broken']},title=broken%3A error",
        f"::error file={folder}/jobs.yaml,line={place['bad']},title=bad%3A fail",
        f"::error file={folder}/jobs.yaml,line={place['parts']},title=parts%3A fail",
    ]


def test_a_success_has_no_annotation(suite: Suite, step: Path) -> None:
    write_jobs(suite, "good")
    result = suite.run("--arena-jobs", "jobs.yaml")
    assert result.ret == 0
    assert step.read_text().startswith("## ✅ arena, 1 job: 1 passed\n\nExit status 0: success.")
    assert "\n::" not in result.stdout.str()


def test_a_summary_that_cannot_be_written_is_a_line_and_no_status(
    suite: Suite, step: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jobs(suite, "good")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(suite.path / "missing" / "summary.md"))
    result = suite.run("--arena-jobs", "jobs.yaml", "-p", "no:terminal")
    assert result.ret == 0
    (line,) = result.errlines
    assert line.startswith("the summary for GitHub could not be written: FileNotFoundError: ")
    assert parse((suite.run_dir / "run.json").read_text())["exit_status"] == 0


def test_the_summary_has_the_status_of_the_process(suite: Suite, step: Path) -> None:
    write_jobs(suite, "good")
    suite.pytester.makeconftest("def pytest_sessionfinish(session): session.exitstatus = 7")
    assert suite.run("--arena-jobs", "jobs.yaml").ret == 7
    assert "\nExit status 7: of a process that " in step.read_text()


def test_a_test_without_jobs_writes_nothing(suite: Suite, step: Path) -> None:
    suite.test("def test_it(): assert False")
    assert suite.run().ret == 1
    assert not step.exists()


def test_a_cancelled_session_leaves_a_summary(suite: Suite, step: Path) -> None:
    trap = {"id": "tests.registered:arena/Trap-v0", "options": {"make": {"trap": "SIGTERM", "episode": 2}}}
    suite.jobs({"cut": {"environment": trap}, "next": {}})
    assert suite.run("--arena-jobs", "jobs.yaml").ret == 2
    assert step.read_text().startswith("## ⚠️ arena, 2 jobs: 1 never ran, 1 interrupted\n\nExit status 2: ")


def test_ctrl_c_with_a_worker_leaves_a_summary(suite: Suite, step: Path) -> None:
    os.mkfifo(suite.path / "setup-reported")
    suite.pytester.makeconftest(AFTER_ITS_SETUP)
    trap = {"id": "tests.registered:arena/Trap-v0", "options": {"make": {"trap": "ctrl-c", "episode": 2}}}
    suite.jobs({"faulty": {"environment": trap}})
    status, _ = launch(suite, "--arena-jobs", "jobs.yaml", "-n", "1")
    assert status == 2
    assert step.read_text().startswith("## ⚠️ arena, 1 job: 1 interrupted\n\nExit status 2: ")


def test_a_worker_that_dies_is_in_the_summary(suite: Suite, step: Path) -> None:
    trap = {"id": "tests.registered:arena/Trap-v0", "options": {"make": {"trap": "SIGKILL", "episode": 2}}}
    suite.jobs({"dies": {"environment": trap}, "lives": {}})
    result = suite.run("--arena-jobs", "jobs.yaml", "-n", "1")
    assert result.ret == 1
    assert step.read_text().startswith("## ❌ arena, 2 jobs: 1 crashed, 1 without verdict\n")
    (line,) = [line for line in result.outlines if line.startswith("::")]
    assert "title=dies%3A crashed::" in line
