"""An attempt alone writes its record; what it was told of is on disk, whatever comes after."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import pytest_arena
from pytest_arena import RunDirectory, Status, Verdict
from pytest_arena.evaluation.judge import judge
from pytest_arena.records.attempt import Attempt
from pytest_arena.records.episodes import read_episodes
from pytest_arena.records.schema import Comparison, ComparisonVerdict
from tests.jobs import make_job
from tests.unit.gate.samples import episode

PACKAGE = Path(pytest_arena.__file__).parent


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def on_disk(attempt: Attempt) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(attempt.directory.record.read_text())
    return data


def test_it_begins_with_what_is_known_of_earlier_episodes(run: RunDirectory) -> None:
    attempt = Attempt.begin(make_job(), run, "job", notes=["two films are lost"])
    assert (on_disk(attempt)["status"], on_disk(attempt)["notes"]) == ("running", ["two films are lost"])


def test_each_episode_is_on_disk_when_it_is_added(run: RunDirectory) -> None:
    attempt = Attempt.begin(make_job(), run, "job")
    for index in (2, 0):
        attempt.add(episode(index, True))
        assert [e.episode for e in read_episodes(attempt.directory.episodes)][-1] == max(index, 2)
    assert [e.episode for e in attempt.episodes] == [2, 0]


def test_notes_of_all_sources_stay_and_the_judgement_makes_its_own_anew(run: RunDirectory) -> None:
    job = make_job(rollout={"episodes": None, "steps": 9})
    attempt = Attempt.begin(job, run, "job", notes=["from before"])
    attempt.note("a film is late", "a film is late")
    for _ in range(2):
        attempt.fail(ValueError("boom"), judge(job, [], attempt.record))
    limited, *others = on_disk(attempt)["notes"]
    assert limited.startswith("limited by steps")
    assert others == ["a film is late", "from before"]
    assert (on_disk(attempt)["status"], on_disk(attempt)["verdict"]) == ("error", "error")


def test_a_judgement_is_not_needed_to_close_a_record(run: RunDirectory) -> None:
    attempt = Attempt.begin(make_job(), run, "job")
    attempt.interrupt(None)
    assert (on_disk(attempt)["status"], on_disk(attempt)["verdict"]) == ("interrupted", "error")
    assert on_disk(attempt)["finished_at"]


def test_a_late_note_leaves_the_verdict_that_the_session_has_drawn(run: RunDirectory) -> None:
    job = make_job(thresholds={"success_rate": ">= 0.5"})
    attempt = Attempt.begin(job, run, "job")
    attempt.complete(judge(job, [episode(i, True) for i in range(4)], attempt.record))
    (record,) = run.records()
    comparison = Comparison("success_rate", ComparisonVerdict.REGRESSION, confidence=0.95, failed=True)
    Attempt.found(run, record).compare(comparison, Verdict.FAIL)
    attempt.note_at_once("the environment could not be closed")
    (record,) = run.records()
    assert (record.status, record.verdict) == (Status.COMPLETED, Verdict.FAIL)
    assert record.comparison is not None
    assert record.comparison.failed
    assert "the environment could not be closed" in record.notes


def test_taken_over_episodes_are_its_own(run: RunDirectory) -> None:
    attempt = Attempt.begin(make_job(), run, "whole")
    attempt.take_over(episode(index, True) for index in (3, 1))
    read = read_episodes(attempt.directory.episodes)
    assert [(e.episode, e.job, e.attempt) for e in read] == [(1, "whole", 1), (3, "whole", 1)]


CLOSING = {"status", "verdict", "finished_at", "error"}
REWRITE_LINES = {
    "records/attempt.py",
    "records/interrupted_attempt.py",
    "recorders/trajectories/simulators_own.py",
}
"""The last two mend the lines of an attempt whose process died, before another one takes charge of them."""


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.relative_to(PACKAGE).as_posix()
)
def test_nothing_else_closes_or_writes_records(path: Path) -> None:
    name = path.relative_to(PACKAGE).as_posix()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Assign) and name != "records/attempt.py":
            targets = [t for target in node.targets for t in getattr(target, "elts", [target])]
            for target in targets:
                if isinstance(target, ast.Attribute) and target.attr in CLOSING:
                    assert not ast.unparse(target.value).endswith("record"), f"{name}:{node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "write_episodes":
                assert name in REWRITE_LINES, f"{name}:{node.lineno}"
            if node.func.id == "write_json" and name != "records/attempt.py":
                assert "record.json" not in ast.unparse(node), f"{name}:{node.lineno}"
                assert "directory.record" not in ast.unparse(node), f"{name}:{node.lineno}"
