"""``RUN`` and ``RUN:JOB``: which runs are meant, and which jobs they share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_arena.comparison.named_runs import lacking, read_runs, shared_jobs
from pytest_arena.errors import BaselineError
from tests.unit.commands.test_compare_command import make_run


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_run(Path("one"), {"good": [1, 1, 0], "bad": [0, 0, 1]})
    make_run(Path("two"), {"good": [1, 0, 0], "other": [1, 1, 1]})
    make_run(Path("three"), {"good": [1, 1, 1], "other": [1, 0, 0]})
    return tmp_path


def named(*texts: str) -> list[tuple[str, str | None]]:
    return [(str(run), run.job) for run in read_runs(texts)]


def test_a_job_of_a_run(runs: Path) -> None:
    assert named("one", "one:bad", "one/:good", "./two:other") == [
        ("one", None),
        ("one:bad", "bad"),
        ("one:good", "good"),
        ("two:other", "other"),
    ]
    first, second = read_runs(["one:good", "one:bad"])
    assert first.baseline is second.baseline
    assert first.find("bad") is first.baseline.jobs["good"]


def test_a_path_with_a_colon_wins(runs: Path) -> None:
    make_run(Path("one:bad"), {"good": [1]})
    assert named("one:bad", "one:bad:good") == [("one:bad", None), ("one:bad:good", "good")]
    whole, job = read_runs(["one:bad", "one:bad:good"])
    assert [*whole.baseline.jobs] == ["good"]
    assert job.baseline is whole.baseline


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("one:bda", "one:bda: one has no job 'bda' (did you mean 'bad'?); it has bad, good"),
        ("nowhere:bad", "nowhere:bad: expected a run directory, a metrics.json of a run, or an eval_info"),
        ("one:", "one:: expected a run directory"),
        (":bad", ":bad: expected a run directory"),
        ("info.json:bad", "info.json:bad: info.json has no job 'bad'; it does not name its jobs"),
        ("a" * 5000 + ":bad", "File name too long"),
    ],
)
def test_runs_and_jobs_that_there_are_not(runs: Path, text: str, words: str) -> None:
    rows = [{"episode_ix": 0, "sum_reward": 1.0, "success": True}]
    Path("info.json").write_text(json.dumps({"per_episode": rows}))
    with pytest.raises(BaselineError) as told:
        read_runs([text, "one"])
    assert words in str(told.value)
    assert "\n" not in str(told.value)


def test_names_of_many_runs(runs: Path) -> None:
    found = [run.name for run in read_runs(["one"] * 30)]
    assert (found[:2], found[25:28]) == (["A", "B"], ["Z", "AA", "AB"])


def shared(*texts: str) -> dict[str, list[str]]:
    return {label: [*sides] for label, sides in shared_jobs(read_runs(texts)).items()}


def test_jobs_that_at_least_two_runs_have(runs: Path) -> None:
    assert shared("one", "two") == {"good": ["A", "B"]}
    assert shared("one", "two", "three") == {"good": ["A", "B", "C"], "other": ["B", "C"]}
    every = read_runs(["one", "two", "three"])
    assert [lacking(run, [o for o in every if o is not run]) for run in every] == [["bad"], [], []]


def test_jobs_that_were_named(runs: Path) -> None:
    assert shared("one:good", "one:bad") == {"good vs bad": ["A", "B"]}
    assert shared("one:good", "two") == shared("one", "two:good") == {"good": ["A", "B"]}
    assert shared("one:good", "two", "three:good") == {"good": ["A", "B", "C"]}
    every = read_runs(["one:good", "two"])
    assert lacking(every[1], every[:1]) == []
    rows = [{"episode_ix": 0, "sum_reward": 1.0, "success": True}]
    Path("info.json").write_text(json.dumps({"per_episode": rows}))
    assert shared("one:good", "info.json") == {"good": ["A", "B"]}


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (("one:bad", "two"), "two: it has no job 'bad'; it has good, other"),
        (
            ("one:good", "one:bad", "two"),
            "two: the other runs name different jobs (good, bad): say which one is",
        ),
        (("one", "info.json"), "info.json does not name its job: expected one job in the other run"),
        (("one", "two", "info.json"), "info.json does not name its job: expected one job in each other run"),
    ],
)
def test_which_job_is_meant_must_be_clear(runs: Path, texts: tuple[str, ...], words: str) -> None:
    rows = [{"episode_ix": 0, "sum_reward": 1.0, "success": True}]
    Path("info.json").write_text(json.dumps({"per_episode": rows}))
    with pytest.raises(BaselineError) as told:
        shared(*texts)
    assert words in str(told.value)
